"""The HTTP server: uvicorn, with bounds on what costs memory before any request is complete."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from mcp_gateway import envelope
from mcp_gateway.app import App
from mcp_gateway.gateway import Gateway

MAX_HEADERS = 200
# Requests that wait for the answer to one before them; clients that do this at all send a few.
MAX_PIPELINED = 16
LAST_CHECK_SECONDS = 0.1
CLIENTS_DOING = ("Invalid HTTP request", "Unsupported upgrade", "No supported WebSocket library")
# What a reader takes within twice `limits.slow_reader_seconds`, unless nothing is left.
SLOW_BYTES = 64 * 1024
REASON = {
    408: b"Request Timeout",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    503: b"Busy",
}


class Protocol(HttpToolsProtocol):
    """One connection. What is not a whole request yet has a bound in bytes and in time."""

    def __init__(self, gateway: Gateway, **options: Any) -> None:
        super().__init__(**options)
        self._gateway = gateway
        self._peer = ""
        self._is_counted = False
        self._in_head = True
        self._in_request = True
        self._progressed = False
        self._pending_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        self._unread = 0
        self._reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = str(self.client[0]) if self.client else ""
        reason = self._gateway.connections.refusal(self._peer, self._gateway.proxies)
        if reason is not None:
            self._refuse(503, "limit_connections", f"{reason}; try again later")
            return
        self._is_counted = True
        self._gateway.connections.opened(self._peer)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_reader_timer()
        if self._is_counted:
            self._gateway.connections.closed(self._peer)
        self.pipeline.clear()
        super().connection_lost(exc)
        if self._running is not None:  # uvicorn tells the newest request alone
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._progressed = False
        is_idle = self.cycle is None or self.cycle.response_complete
        super().data_received(data)
        # Nothing is kept of a body here; a head, a trailer and a chunk's extension are.
        self._pending_bytes = 0 if self._progressed else self._pending_bytes + len(data)
        limit = self._gateway.config.limits.header_bytes
        if self._pending_bytes > limit:
            self._refuse(431, "header_size", f"the request headers exceed {limit} bytes")
        elif (self._in_head and self._in_request) or (is_idle and not self._progressed):
            self._start_timer()  # line breaks before a request begin none, and end the idle time

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    # what the parser finds
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._in_request = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: nobody asks for one, and the request is being answered already
        if len(self.headers) >= MAX_HEADERS:
            self._refuse(431, "header_size", f"more than {MAX_HEADERS} request headers")
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._progressed = False, True
        self._stop_timer()
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(429, "limit_pipeline", f"more than {MAX_PIPELINED} requests at once")
        elif not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._progressed = True
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_request, self._progressed = False, True
        self._stop_timer()
        if not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_request and not self.transport.is_closing():
            self._start_timer()  # it was answered early; its rest must not take forever
        self._watch_reader()

    def send_400_response(self, msg: str) -> None:
        self._gateway.recorder.refused("http", self._peer)
        super().send_400_response(msg)
        self._watch_reader()

    # what the client does not read
    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def _watch_reader(self) -> None:
        """Check after a while how much of what is to be sent was taken.

        A connection that is closed politely lives on until the last byte was: for somebody who
        reads nothing, forever. The call itself is given up first, and says so.
        """
        if self._reader_timer is None:
            self._unread = self.transport.get_write_buffer_size()
            if self._unread:
                seconds = 2 * self._gateway.config.limits.slow_reader_seconds
                self._reader_timer = self.loop.call_later(seconds, self._check_reader)

    def _check_reader(self) -> None:
        self._reader_timer = None
        before, now = self._unread, self.transport.get_write_buffer_size()
        if now and now > before - SLOW_BYTES:
            self.transport.abort()
        else:
            self._watch_reader()

    def _stop_reader_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    # time
    def _start_timer(self) -> None:
        if self._timer is None:
            seconds = self._gateway.config.limits.header_seconds
            self._timer = self.loop.call_later(seconds, self._too_slow, seconds)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self, seconds: float) -> None:
        """Its time is over. What came while the loop was busy is read first."""
        message = f"the request did not arrive within {seconds:g} s"
        self._timer = self.loop.call_later(
            LAST_CHECK_SECONDS, self._refuse, 408, "header_time", message
        )

    def _refuse(self, status: int, kind: str, message: str) -> None:
        """Say why, unless this request has had an answer or waits for one, and close."""
        if self.transport.is_closing():
            return
        self._stop_timer()
        self._gateway.recorder.refused(kind, self._peer)
        if self._in_head and (self.cycle is None or self.cycle.response_complete):
            body = envelope.error(None, envelope.REFUSED, message)
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (status, REASON[status], len(body), body)
            )
        self.transport.close()
        self._watch_reader()


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Not what anybody can make uvicorn say as often as they like; it is counted."""
    return not str(record.msg).startswith(CLIENTS_DOING)


def configuration(gateway: Gateway) -> uvicorn.Config:
    """How uvicorn serves this gateway."""
    logging.getLogger("uvicorn.error").addFilter(_is_worth_a_line)
    listen = gateway.config.listen
    return uvicorn.Config(
        App(gateway),
        host=listen.host,
        port=listen.port,
        loop="none",
        http=functools.partial(Protocol, gateway),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(gateway.config.limits.drain_seconds),
        ssl_certfile=listen.tls_cert_file,
        ssl_keyfile=listen.tls_key_file,
    )
