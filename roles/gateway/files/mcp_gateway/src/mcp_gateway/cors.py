"""Pages of allowed origins may call the gateway from a browser (CORS); nobody else's may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]
METHODS = b"GET, POST, DELETE, OPTIONS"
MAX_AGE_SECONDS = b"600"
# A page reads no other header of an answer: its session, how to log in, when to come back.
EXPOSED = b"mcp-session-id, mcp-protocol-version, www-authenticate, retry-after, x-request-id"
SENT = {
    "accept",
    "authorization",
    "baggage",
    "content-type",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "traceparent",
    "tracestate",
    "x-api-key",
    "x-litellm-api-key",
}
SENT_PREFIX = "mcp-param-"


def is_preflight(method: str, headers: dict[bytes, bytes]) -> bool:
    """Whether a browser asks what a page may send, before it sends that."""
    return method == "OPTIONS" and b"access-control-request-method" in headers


def preflight(headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """What a page may send: of the headers that it wants to, those that mean something here."""
    wanted = headers.get(b"access-control-request-headers", b"").decode("latin-1").lower()
    names = [name.strip() for name in wanted.split(",")]
    allowed = [n for n in names if n in SENT or n.startswith(SENT_PREFIX)]
    return [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", ", ".join(allowed).encode("latin-1")),
        (b"access-control-max-age", MAX_AGE_SECONDS),
        (b"content-length", b"0"),
    ]


def readable(send: Send, origin: bytes) -> Send:
    """`send`, with what lets a page at `origin` read the answer."""
    extra = [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED),
        (b"vary", b"origin"),
    ]

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return sending
