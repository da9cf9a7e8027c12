"""Links over Streamable HTTP, legacy sessions and modern requests alike, and their exchanges."""

from __future__ import annotations

import time
from collections.abc import Callable

from mcp_gateway import envelope
from mcp_gateway.eras import LIST_MEMBER, NAME_MEMBER
from mcp_gateway.headervalue import header_value
from mcp_gateway.httpclient import Client, Response
from mcp_gateway.httpconnection import HttpError
from mcp_gateway.personal import Owner, Shown
from mcp_gateway.sse import Frame, FrameTooLarge, Parser
from mcp_gateway.upstreams.base import (
    REFUSED,
    Exchange,
    Outbound,
    SessionLost,
    UpstreamError,
    failure,
    hold_nothing,
)

# Larger JSON answers are passed on while they arrive; smaller ones are looked at as a whole.
STREAM_BYTES = 256 * 1024
CALLER_HEADER = "mcp-gateway-caller"
ACCEPT = ("accept", "application/json, text/event-stream")
JSON = ("content-type", "application/json")
READ_ONLY = {"ping", "server/discover", "resources/read", *LIST_MEMBER}


class HttpExchange:
    """A POST (or GET stream) whose answer is being read."""

    has_status = True

    def __init__(
        self, link: HttpLink, response: Response, out: Outbound | None, limit: int
    ) -> None:
        self.status = response.status
        self.sid = response.header(b"mcp-session-id")
        self._link = link
        self._response = response
        self._out = out
        self._limit = limit
        self._timeout = out.timeout if out else None
        self._frames: list[Frame] = []
        self.is_stream = (response.header(b"content-type") or "").startswith("text/event-stream")
        self._parser = Parser(limit) if self.is_stream else None
        self._read = False
        self._size = 0
        self.may_stream = False
        self.holds: Callable[[int], None] = hold_nothing
        self._ended: UpstreamError | None = None

    def end(self, error: UpstreamError) -> None:
        """Let go in the middle; whoever reads is told why."""
        self._ended = self._ended or error
        self.close()

    def _failure(self, error: Exception) -> UpstreamError:
        return self._ended or failure(self._link.name, error)

    async def _chunk(self) -> bytes | None:
        """The next bytes, None at the end: which is none where the exchange was ended."""
        chunk = await self._response.chunk(self._timeout)
        if self._ended is not None:
            raise self._ended
        return chunk

    async def next(self) -> Frame | None:
        try:
            if self._parser is None:
                return await self._body()
            while not self._frames:
                chunk = await self._chunk()
                if chunk is None:
                    return None
                self._frames = self._parser.feed(chunk)[::-1]
                self.holds(self._parser.waiting + sum(len(f.data) for f in self._frames))
            frame = self._frames.pop()
            frame.event = None  # to the old transport's clients another one is no message
            return frame
        except (HttpError, FrameTooLarge) as error:
            self.close()
            raise self._failure(error) from None

    async def _body(self) -> Frame | None:
        """A JSON body: whole, or its beginning and a way to the rest when it may be streamed."""
        if self._read:
            return None
        self._read = True
        announced = self._response.header(b"content-length") or "0"
        if announced.isdigit() and int(announced) > self._limit:
            raise HttpError(f"the answer exceeds {self._limit} bytes")
        parts: list[bytes] = []
        self._size = 0
        while (chunk := await self._chunk()) is not None:
            parts.append(chunk)
            self._size += len(chunk)
            if self._size > self._limit:
                raise HttpError(f"the answer exceeds {self._limit} bytes")
            self.holds(self._size)
            if self.may_stream and self._size >= STREAM_BYTES:
                frame = Frame(b"".join(parts))
                frame.rest = self._more
                return frame
        return Frame(parts[0] if len(parts) == 1 else b"".join(parts))

    async def _more(self) -> bytes | None:
        try:
            chunk = await self._chunk()
        except HttpError as error:
            raise self._failure(error) from None
        self._size += len(chunk or b"")
        if self._size > self._limit:
            self.close()
            raise failure(self._link.name, HttpError(f"the answer exceeds {self._limit} bytes"))
        return chunk

    async def answer(self, body: bytes) -> None:
        await self._link.notify(body)

    async def cancel(self, reason: str) -> None:
        self.close()
        if self._out is not None and self._link.era == "legacy":
            body = envelope.notification(
                "notifications/cancelled",
                {"requestId": envelope.msgspec.Raw(self._out.id), "reason": reason},
            )
            try:
                await self._link.notify(body)
            except UpstreamError:
                return  # the upstream is gone: nothing left to cancel

    def close(self) -> None:
        self._response.close()
        if self._link.owner is not None:
            self._link.owner.ended(self)


class HttpLink:
    """One way to an HTTP upstream: a legacy session, or the stateless modern era."""

    is_busy = False  # each request has a connection of its own

    def __init__(
        self,
        name: str,
        client: Client,
        headers: Callable[[], list[tuple[str, str]]],
        limit: int,
        era: str,
        version: str,
        sid: str | None = None,
        rewrites_ids: bool = False,
    ) -> None:
        self.name = name
        self.era = era
        self.version = version
        self.sid = sid
        self.info: envelope.Fields = {}
        self.last_used = time.monotonic()
        self.rewrites_ids = rewrites_ids
        self.is_open = True
        self.caller = ""
        # Whose credential each request shows; None where that is the gateway's own.
        self.owner: Owner | None = None
        self.credential_id = ""
        self._client = client
        self._headers = headers
        self._limit = limit

    async def _shown(self) -> Shown | None:
        """The owner's credential as it is now; SessionLost where the session began with another."""
        shown = await self.owner.show() if self.owner is not None else None
        id_ = shown.id if shown is not None else ""
        has_begun = self.sid is not None or bool(self.credential_id)
        if self.era == "legacy" and has_begun and self.credential_id != id_:
            raise SessionLost(self.name)
        self.credential_id = id_
        return shown

    def _all_headers(
        self, extra: list[tuple[str, str]], shown: Shown | None
    ) -> list[tuple[str, str]]:
        headers = [ACCEPT, ("mcp-protocol-version", self.version)]
        if self.owner is None:
            headers += self._headers()
        elif shown is not None:
            headers += [*self.owner.beside(self._headers()), shown.header]
        headers += extra
        if self.caller:
            headers.append((CALLER_HEADER, self.caller))
        if self.sid is not None:
            headers.append(("mcp-session-id", self.sid))
        return headers

    async def request(self, out: Outbound) -> Exchange:
        self.last_used = time.monotonic()
        shown = await self._shown()
        headers = self._all_headers(out.headers, shown)
        headers.append(JSON)
        if self.era == "modern":
            headers.append(("mcp-method", out.method))
            member = NAME_MEMBER.get(out.method)
            name = envelope.text((out.params or {}).get(member)) if member else None
            if name is not None:
                headers.append(("mcp-name", header_value(name)))
        body = envelope.request(out.id, out.method, out.params)
        work = self._client.request(
            "POST", headers, body, timeout=out.timeout, retry=out.method in READ_ONLY
        )
        if out.timeout is None and self.owner is not None and shown is not None:
            work = self.owner.until_head(work, shown)
        try:
            response = await work
        except HttpError as error:
            raise failure(self.name, error) from None
        return self._checked(self._exchange(response, out, shown), response)

    def _exchange(
        self, response: Response, out: Outbound | None, shown: Shown | None
    ) -> HttpExchange:
        exchange = HttpExchange(self, response, out, self._limit)
        if self.owner is not None and shown is not None:
            self.owner.began(exchange, shown)
        return exchange

    def _checked(self, exchange: HttpExchange, response: Response) -> Exchange:
        """The exchange, unless the status says that there is no JSON-RPC answer in it."""
        status = response.status
        if status == 200:
            return exchange
        is_json = (response.header(b"content-type") or "").startswith("application/json")
        if status == 404 and self.sid is not None:
            exchange.close()
            raise SessionLost(self.name)
        if status in (401, 403):
            exchange.close()
            if self.owner is not None:
                raise self.owner.refused(status)
            raise UpstreamError(
                REFUSED,
                f"server {self.name} answered {status}: it refuses the gateway's own credentials; "
                "check the headers configured for it",
            )
        if is_json and 400 <= status < 500:
            return exchange
        exchange.close()
        # What a server says to one person is nobody else's to read, and this may be.
        location = response.header(b"location") if self.owner is None else None
        hint = f", a redirect to {location}: set that as its url" if location else ""
        raise UpstreamError("status", f"server {self.name} answered HTTP {status}{hint}")

    async def notify(self, body: bytes) -> None:
        self.last_used = time.monotonic()
        headers = [*self._all_headers([], await self._shown()), JSON]
        try:
            response = await self._client.request("POST", headers, body, timeout=10)
            response.close()
        except HttpError as error:
            raise failure(self.name, error) from None
        if response.status == 404 and self.sid is not None:
            raise SessionLost(self.name)

    async def events(self, last_event_id: str | None = None) -> Exchange | None:
        """The GET stream of a legacy session; None where the upstream has none."""
        if self.era == "modern":
            return None
        shown = await self._shown()
        headers = self._all_headers([], shown)
        headers[0] = ("accept", "text/event-stream")
        if last_event_id is not None:
            headers.append(("last-event-id", last_event_id))
        try:
            response = await self._client.request("GET", headers, timeout=30, retry=True)
        except HttpError as error:
            raise failure(self.name, error) from None
        exchange = self._exchange(response, None, shown)
        if response.status == 200 and exchange.is_stream:
            return exchange
        exchange.close()
        if response.status == 404 and self.sid is not None:
            raise SessionLost(self.name)
        return None

    async def close(self) -> None:
        """End the session at the upstream."""
        self.is_open = False
        if self.sid is None or self.era == "modern":
            return
        try:
            headers = self._all_headers([], await self._shown())
            response = await self._client.request("DELETE", headers, timeout=5)
            response.close()
        except (HttpError, UpstreamError):
            return  # it is gone anyway, or nobody may end it any more
