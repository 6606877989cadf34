import sys
from pathlib import Path
from subprocess import run

import pytest

ROOT = Path(__file__).parents[3]
GENERATED = ROOT / "src/logbridge/adapters/grpc"


@pytest.mark.parametrize("name", ["logservice_pb2.py", "logservice_pb2.pyi"])
def test_generated_code_is_current(name: str, tmp_path: Path) -> None:
    """The committed code is what `make proto` makes of the proto file."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}"]
    outputs = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    run([*command, *outputs, str(ROOT / "proto/logservice.proto")], check=True)
    assert (tmp_path / name).read_text() == (GENERATED / name).read_text()
