"""docs/images/top.svg: what `logbridge top` shows of a busy bridge whose log service was away for a bit."""

import contextlib
import io
import math
import random
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from logbridge.entrypoints.commands.top_feed import Watched, decoded
from logbridge.entrypoints.commands.top_screen import screen
from tests.integration.processes import Bridge, bridge, free_port, log_service
from tests.integration.served import API

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "top.svg"
WIDTH, HEIGHT = 120, 36
BEFORE_S, AWAY_S, AFTER_S = 40.0, 6.0, 34.0
CLIENTS = 4
# Fonts of another host; without them the letters are those of the reader's system.
_FOREIGN = re.compile(r"\s*<!--.*?-->|\s*@font-face \{.*?\}", re.DOTALL)


def main() -> None:
    """Write the picture; it takes a minute and a half."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        with log_service(folder, port):
            sink, spool = f"grpc://127.0.0.1:{port}", f"sqlite:///{folder}/spool"
            running = stack.enter_context(bridge(folder, sink, LOGBRIDGE_SPOOL=spool))
            ended = stack.enter_context(clients(running))
            ended.wait(BEFORE_S)
        ended.wait(AWAY_S)
        with log_service(folder, port):
            ended.wait(AFTER_S)
            answer = running.client.get(f"{API}/stats", params={"history": 300}).raise_for_status()
            PICTURE.parent.mkdir(exist_ok=True)
            PICTURE.write_text(drawn(Watched(decoded(answer.content)), str(running.client.base_url)))
            ended.set()


@contextlib.contextmanager
def clients(running: Bridge) -> Any:
    """Programs that log through the bridge, more at times and less at others, until the event is set."""
    ended = threading.Event()
    threads = [threading.Thread(target=_write, args=(running, ended, seed)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield ended
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _write(running: Bridge, ended: threading.Event, seed: int) -> None:
    chance = random.Random(seed)
    with httpx.Client(base_url=running.client.base_url, timeout=30) as client:
        while not ended.wait(chance.random() * (0.04 + 0.03 * math.sin(time.monotonic() / 8))):
            _write_once(client, chance.random())


def _write_once(client: httpx.Client, which: float) -> None:
    log = {"message": "order paid", "service_name": "shop", "user_id": "user123"}
    if which < 0.02:
        client.post(f"{API}/write", json=log | {"level": "NOTICE", "service_name": "pay"})
    elif which < 0.2:
        batch = {"log_entries": [log | {"service_name": "pay"}] * 20}
        client.post(f"{API}/batch", json=batch, headers={"Prefer": "respond-async"})
    else:
        client.post(f"{API}/write", json=log)


def drawn(watched: Watched, url: str) -> str:
    """The SVG of the screen, which asks no other host for anything."""
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, height=HEIGHT, force_terminal=True, _environ={}
    )
    console.print(screen(watched, url, ("live", "green"), WIDTH, HEIGHT), end="")
    picture = console.export_svg(title="logbridge top", unique_id="top")
    return _FOREIGN.sub("", picture) + "\n"


if __name__ == "__main__":
    main()
