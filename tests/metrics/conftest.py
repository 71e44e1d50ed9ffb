"""Free ports, and waiting for servers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

SECONDS_TO_START = 60


def _free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


free_port = pytest.fixture(_free_port, name="free_port")
scraped_port = pytest.fixture(_free_port, name="scraped_port")


@pytest.fixture
def wait_for() -> Callable[[Callable[[], Any]], Any]:
    """Asks until there is an answer that is something; raises the last error when it takes too long."""

    def ask(question: Callable[[], Any]) -> Any:
        end = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                if answer := question():
                    return answer
            except OSError:
                if time.monotonic() > end:
                    raise
            assert time.monotonic() < end, "no answer in time"
            time.sleep(0.1)

    return ask
