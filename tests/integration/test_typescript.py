"""The TypeScript client: its types are those of our document, and it passes its own tests."""

import json

import pytest

from logbridge.entrypoints.http.openapi import openapi_document
from logbridge.entrypoints.http.routes import operations
from logbridge.entrypoints.settings import Settings
from tests.integration.browser import chromium_path
from tests.integration.node import CLIENTS, install, needs_node, run
from tests.unit.entrypoints.http.serving import API

CLIENT = CLIENTS / "typescript"


def test_the_document_of_the_client_is_ours() -> None:
    """clients/typescript/openapi.json is what `logbridge openapi` prints; make typescript-types renews it."""
    ours = openapi_document(operations(API), Settings())
    assert json.loads((CLIENT / "openapi.json").read_text()) == json.loads(json.dumps(ours))


def test_lock_files_have_digests_and_no_hosts() -> None:
    """Every package of a lock file has a digest, and none an address to load it from."""
    for path in CLIENTS.glob("*/package-lock.json"):
        packages = json.loads(path.read_text())["packages"]
        assert [name for name, package in packages.items() if name and "integrity" not in package] == []
        assert "resolved" not in path.read_text()


@needs_node
@pytest.mark.timeout(900)  # installs, builds and runs a suite of its own: two minutes on two busy cores
def test_the_client_passes_its_own_checks() -> None:
    """It installs from its lock file, its types fit the document, and types, style and tests are in order."""
    install(CLIENT)
    run(CLIENT, "npm", "run", "types:check")
    run(CLIENT, "npm", "run", "typecheck")
    run(CLIENT, "npm", "run", "lint")
    run(CLIENT, "npm", "run", "build")
    run(CLIENT, "npm", "test", "--", "--exclude", "**/browser.test.ts")


@needs_node
def test_the_client_works_in_a_browser() -> None:
    """A page of another origin writes; what waits when it is left, closed or hidden arrives."""
    chromium = chromium_path()
    install(CLIENT)
    run(CLIENT, "npm", "run", "build")
    run(CLIENT, "npm", "test", "--", "browser", LOGBRIDGE_CHROMIUM=chromium)
