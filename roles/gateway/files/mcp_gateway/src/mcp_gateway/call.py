"""One request on its way through the pipeline: each stage adds what it found out."""

from __future__ import annotations

import time

from mcp_gateway import envelope
from mcp_gateway.identify import ANYONE, Principal
from mcp_gateway.limits import Held, Slot
from mcp_gateway.sessions import Session

# Answers below are not worth an account.
LARGE_BYTES = 64 * 1024


class Call:
    """What is known of a request so far; `record` writes it down at the end."""

    __slots__ = (
        "accepts_json",
        "accepts_stream",
        "address",
        "body",
        "bytes_in",
        "bytes_out",
        "cancelled",
        "endpoint",
        "era",
        "error",
        "headers",
        "held",
        "is_identified",
        "is_recorded_later",
        "message",
        "name",
        "path",
        "request_id",
        "route",
        "rule",
        "server",
        "session",
        "session_token",
        "slot",
        "started",
        "status",
        "version",
        "who",
    )

    def __init__(self, headers: dict[bytes, bytes], path: str, route: str, endpoint: str) -> None:
        self.headers = headers
        self.path = path
        self.route = route  # a server's name, or "" for all of them
        self.endpoint = endpoint  # mcp, sse or messages
        self.started = time.perf_counter()
        self.who: Principal = ANYONE
        self.is_identified = False
        self.address = ""  # the client's, as far as a trusted load balancer told
        self.message: envelope.Message | None = None
        self.era = ""
        self.version = ""
        self.session: Session | None = None
        self.session_token = ""
        self.server = ""
        self.name = ""
        self.rule = ""
        self.status = "ok"
        self.error = ""
        self.bytes_in = 0
        self.bytes_out = 0
        self.request_id = ""
        self.cancelled = False
        self.accepts_json = True
        self.accepts_stream = True
        self.body = b""
        self.is_recorded_later = False
        self.slot: Slot | None = None
        self.held: Held | None = None

    @property
    def msg(self) -> envelope.Message:
        """The message; only for stages after it was parsed."""
        assert self.message is not None
        return self.message

    @property
    def id(self) -> bytes:
        return self.msg.id or b"null"

    @property
    def method(self) -> str:
        return (self.message.method if self.message else None) or ""

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return value.decode("latin-1") if value is not None else None

    def hold(self, size: int) -> None:
        """Bytes of this request stay in memory until it ends; Refusal when there is no room."""
        assert self.held is not None
        self.held.add(size)

    def hold_answer(self, size: int) -> None:
        """So much of a large answer is in memory now; Refusal when there is no room."""
        if self.held is not None:
            self.held.answer(size if size > LARGE_BYTES else 0)

    def failed(self, kind: str, status: str = "error") -> None:
        """Remember why this call has no good end."""
        self.status = status
        self.error = kind
