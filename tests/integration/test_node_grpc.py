"""The Node program of docs/node-grpc.md against a real log service."""

import re
from pathlib import Path

from tests.integration.node import CLIENTS, install, needs_node, run
from tests.integration.processes import free_port, log_service, start

FOLDER = CLIENTS / "node-grpc"
PAGE = (CLIENTS.parent / "docs" / "node-grpc.md").read_text()


def test_the_page_shows_the_program() -> None:
    """The page has the program as it runs here."""
    assert re.findall(r"^```js\n(.*?)^```$", PAGE, re.M | re.S) == [(FOLDER / "logs.js").read_text()]


@needs_node
def test_a_node_program_writes_and_reads_over_grpc(tmp_path: Path) -> None:
    """With a key it writes a log and a batch, and finds them again; without one it is refused."""
    install(FOLDER)
    keys = {"LOGBRIDGE_KEYS_FILE": str(tmp_path / "keys.json")}
    make = start(tmp_path, "key", "create", "node", "--scope", "write", "--scope", "read", **keys)
    key, err = make.communicate(timeout=60)
    assert make.returncode == 0, err
    port = free_port()
    with log_service(tmp_path, port, **keys):
        address = f"127.0.0.1:{port}"
        refused = run(FOLDER, "node", "--eval", _UNLESS_REFUSED, LOG_SERVICE=address, LOGBRIDGE_KEY="")
        said = run(FOLDER, "node", "logs.js", LOG_SERVICE=address, LOGBRIDGE_KEY=key.strip())
    assert refused == "UNAUTHENTICATED\n"
    assert said.splitlines() == [
        "STORED ",
        "INVALID $.message: Expected `str` of length >= 1",
        "WARN two {}",
        "INFO one { user_id: 'user123' }",
    ]
    assert said in PAGE


_UNLESS_REFUSED = """
const { status } = require("@grpc/grpc-js");
import("./logs.js").catch((error) => console.log(status[error.code])).then(() => process.exit());
"""
