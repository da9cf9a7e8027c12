"""Stage 1: is this a request that we talk to at all? Host, Origin, sizes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from mcp_gateway import envelope
from mcp_gateway.call import Call
from mcp_gateway.refusal import Refusal
from mcp_gateway.settings import Limits, Listen

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# However slow the line: nobody holds a place for longer with half a request.
BODY_SECONDS = 30.0
# A client reads the refusal of its large body only when it could send that body first.
DISCARD_SECONDS = 2.0
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Admission:
    """Checks against DNS rebinding and oversized requests."""

    def __init__(self, listen: Listen, limits: Limits, own_url: str | None = None) -> None:
        """own_url: where the other replicas reach this one."""
        self._limits = limits
        public = urlsplit(listen.public_url or "")
        hosts = [*LOOPBACK, *listen.allowed_hosts]
        if own_url:
            hosts.append(urlsplit(own_url).netloc)
        if public.netloc:
            hosts.append(public.netloc)
        self._any_host = "*" in hosts
        self._hosts = {h.lower() for h in hosts}
        origins = {o.lower().rstrip("/") for o in listen.allowed_origins}
        if public.netloc:
            origins.add(f"{public.scheme}://{public.netloc}".lower())
        self._any_origin = "*" in origins
        self._origins = origins

    def check(self, headers: dict[bytes, bytes], raw_headers: list[tuple[bytes, bytes]]) -> None:
        """Raise Refusal for a foreign Host or Origin, or headers beyond the bound."""
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._knows(host.lower()):
            raise Refusal(
                "host",
                421,
                envelope.REFUSED,
                f"Host {host[:100]!r} is not one of listen.allowed_hosts",
            )
        if b"origin" in headers and not self.admits_page(headers):
            origin = headers[b"origin"].decode("latin-1")
            raise Refusal(
                "origin",
                403,
                envelope.REFUSED,
                f"Origin {origin[:100]!r} is not one of listen.allowed_origins",
            )
        if sum(len(n) + len(v) for n, v in raw_headers) > self._limits.header_bytes:
            raise Refusal(
                "header_size",
                431,
                envelope.REFUSED,
                f"the request headers exceed {self._limits.header_bytes} bytes",
            )

    def admits_page(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a browser sent this for a page of an origin that may call the gateway."""
        origin = headers.get(b"origin")
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if origin is None or not self._knows(host):
            return False
        value = origin.decode("latin-1").lower().rstrip("/")
        return self._any_origin or value in self._origins or self._is_local(value, host)

    def _knows(self, host: str) -> bool:
        return self._any_host or host in self._hosts or _without_port(host) in self._hosts

    def _is_local(self, origin: str, host: str) -> bool:
        """A page served by this very gateway on a loopback name."""
        return _without_port(host) in LOOPBACK and origin in (f"http://{host}", f"https://{host}")


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() else host


async def read_body(receive: Receive, call: Call, limit: int, seconds: float) -> bytes:
    """The request body; Refusal beyond `limit` bytes, or when it takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, call, limit)
    except TimeoutError:
        raise Refusal(
            "body_time", 408, envelope.REFUSED, f"the body did not arrive within {seconds:g} s"
        ) from None


async def _read(receive: Receive, call: Call, limit: int) -> bytes:
    headers = call.headers
    too_large = Refusal(
        "body_size", 413, envelope.REFUSED, f"the request body exceeds {limit} bytes"
    )
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > limit:
        if b"expect" not in headers:  # such a client waits for a word before it sends
            await _discard(receive, limit)
        raise too_large
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client left while sending")
        body = message.get("body", b"")
        size += len(body)
        if size > limit:
            parts.clear()
            if message.get("more_body"):
                await _discard(receive, limit)
            raise too_large
        call.hold(len(body))
        parts.append(body)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _discard(receive: Receive, limit: int) -> None:
    """Read what still arrives, up to `limit` bytes and for a moment, and keep nothing."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while limit > 0:
                message = await receive()
                limit -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return
