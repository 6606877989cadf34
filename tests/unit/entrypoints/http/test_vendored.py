"""The vendored npm releases are what vendored.json says, and nothing else lies there."""

import base64
import hashlib

import pytest

from logbridge.entrypoints.http.docs_pages import VENDOR, VendoredPackage, vendored_packages

VENDORED_BYTES_MAX = 4_000_000


@pytest.mark.parametrize("package", vendored_packages(), ids=lambda package: package.name)
def test_files_have_their_digests(package: VendoredPackage) -> None:
    """Each file of a package is there, unchanged, and none is there unlisted."""
    folder = VENDOR / package.name
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    assert digests == package.sha256


@pytest.mark.parametrize("package", vendored_packages(), ids=lambda package: package.name)
def test_package_comes_with_its_licence(package: VendoredPackage) -> None:
    """A package names its licence and carries its text, and its integrity is a whole SHA-512."""
    assert package.licence in ("Apache-2.0", "MIT")
    assert "LICENSE" in package.sha256
    algorithm, _, digest = package.integrity.partition("-")
    assert algorithm == "sha512"
    assert len(base64.b64decode(digest, validate=True)) == 64


def test_nothing_else_is_vendored() -> None:
    """Only listed packages lie in the folder, without source maps, and small enough for a wheel."""
    assert {path.name for path in VENDOR.iterdir()} == {
        "vendored.json",
        *(package.name for package in vendored_packages()),
    }
    files = [path for path in VENDOR.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".map"]
    assert sum(path.stat().st_size for path in files) < VENDORED_BYTES_MAX
