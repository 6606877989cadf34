"""Certificates of tests, from authorities that nobody else knows."""

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import trustme

from logbridge.adapters.certificates import PemFiles

LONG_AGO = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC))
FAR_OFF = (datetime(2040, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC))


class Authority:
    """A certificate authority. ca: the path of its own certificate, as a PEM file."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.ca = str(folder / f"{name}.pem")
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(
        self,
        name: str,
        *names: str,
        ca: str = "",
        dates: tuple[datetime | None, datetime | None] = (None, None),
    ) -> PemFiles:
        """A certificate for host names and its key, as files that replace what was under this name.

        ca: a third path that goes with them.
        """
        made = self._authority.issue_cert(
            *(names or ("localhost", "127.0.0.1")), not_before=dates[0], not_after=dates[1]
        )
        chain = b"".join(pem.bytes() for pem in made.cert_chain_pems)
        files = PemFiles(str(self._folder / f"{name}.crt"), str(self._folder / f"{name}.key"), ca)
        replace(files.key, made.private_key_pem.bytes())
        replace(files.chain, chain)
        return files

    def trusted(self, shown: PemFiles | None = None) -> ssl.SSLContext:
        """A client that trusts this authority alone, and shows a certificate if asked."""
        context = ssl.create_default_context(cafile=self.ca)
        if shown is not None:
            context.load_cert_chain(shown.chain, shown.key)
        return context


def replace(path: str, content: bytes) -> None:
    """As tools for certificates do it: a new file in the place of the old one."""
    new = Path(f"{path}.new")
    new.write_bytes(content)
    os.replace(new, path)
