"""A connection that does not wait for ever: for the head of a request, nor for the next bytes of its body."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0
"""For all of a request's head, from the first byte or the start of the connection."""
BODY_SECONDS = 120.0
"""Between two pieces of a body."""


class PatientConnection(H11Protocol):
    """Uvicorn's connection with these limits; who does not keep to them is cut off."""

    _limit: asyncio.TimerHandle | None = None
    _waits_for: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        super().data_received(data)
        self._wait()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection becomes another protocol's, which has limits of its own."""
        super().handle_websocket_upgrade(event)
        self._stop_waiting()

    def _wait(self) -> None:
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return
        state = self.conn.their_state
        if state is h11.IDLE and self._waits_for is h11.IDLE and self._limit is not None:
            return  # more of the same head: the time that it has goes on
        self._stop_waiting()
        self._waits_for = state
        if state is h11.IDLE:
            self._limit = self.loop.call_later(HEAD_SECONDS, self.transport.abort)
        elif state is h11.SEND_BODY:
            self._limit = self.loop.call_later(BODY_SECONDS, self._abort_unless_we_are_slow)

    def _abort_unless_we_are_slow(self) -> None:
        if self.flow.read_paused:
            self._limit = self.loop.call_later(BODY_SECONDS, self._abort_unless_we_are_slow)
        else:
            self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
