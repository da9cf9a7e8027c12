"""One duplex connection (a process's pipes, or an SSE pair) shared by many requests.

There are no per-request streams here: ids and progress tokens are replaced by unique numbers on the
way out and put back on the way in.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable

import msgspec

from mcp_gateway import envelope
from mcp_gateway.eras import LATEST_LEGACY, LATEST_MODERN, META_SUBSCRIPTION
from mcp_gateway.sse import Frame
from mcp_gateway.upstreams.base import (
    PROBE_SECONDS,
    Exchange,
    Hello,
    Outbound,
    UpstreamError,
    final,
    hold_nothing,
    next_id,
)

Unrelated = Callable[[envelope.Message], None]


class ChannelExchange:
    """One request on a channel."""

    has_status = False

    def __init__(self, channel: Channel, number: int, out: Outbound) -> None:
        self.status = 200
        self.sid: str | None = None
        self.may_stream = False  # messages come whole
        self.holds: Callable[[int], None] = hold_nothing
        self.number = number
        self.out = out
        self.token: msgspec.Raw | None = None
        self._channel = channel
        self._frames: asyncio.Queue[Frame | UpstreamError | None] = asyncio.Queue()
        self._done = False

    def put(self, item: Frame | UpstreamError | None) -> None:
        self._frames.put_nowait(item)

    async def next(self) -> Frame | None:
        if self._done and self._frames.empty():
            return None
        try:
            async with asyncio.timeout(self.out.timeout):
                item = await self._frames.get()
        except TimeoutError:
            await self.cancel("timeout")
            raise UpstreamError(
                "timeout",
                f"server {self._channel.name} did not answer within {self.out.timeout:g} s",
            ) from None
        if isinstance(item, UpstreamError):
            self.close()
            raise item
        if item is not None:
            self.holds(len(item.data))
        return item

    async def answer(self, body: bytes) -> None:
        await self._channel.send(body)

    async def cancel(self, reason: str) -> None:
        if not self._done and self.number in self._channel.pending:
            self.close()
            params = {"requestId": self.number, "reason": reason}
            await self._channel.send(envelope.notification("notifications/cancelled", params))

    def finish(self) -> None:
        self._done = True

    def close(self) -> None:
        self._done = True
        self._channel.pending.pop(self.number, None)


class Channel:
    """A link over a duplex connection; `transmit` writes one message."""

    rewrites_ids = False
    owner = None  # a process is shown nobody's credential

    def __init__(
        self,
        name: str,
        transmit: Callable[[bytes], Awaitable[None]],
        unrelated: Unrelated,
        timeout: float,
    ) -> None:
        self.name = name
        self.era = "legacy"
        self.version = LATEST_LEGACY
        self.sid: str | None = None
        self.credential_id = ""
        self.info: envelope.Fields = {}
        self.last_used = time.monotonic()
        self.pending: dict[int, ChannelExchange] = {}
        self.is_open = True
        self.on_close: Callable[[], Awaitable[None]] | None = None
        self._transmit = transmit
        self._unrelated = unrelated
        self._timeout = timeout
        self._numbers = itertools.count(1)

    async def send(self, body: bytes) -> None:
        if not self.is_open:
            raise UpstreamError("unreachable", f"server {self.name} is not running")
        await self._transmit(body)

    async def notify(self, body: bytes) -> None:
        self.last_used = time.monotonic()
        await self.send(body)

    @property
    def is_busy(self) -> bool:
        return bool(self.pending)

    async def events(self, last_event_id: str | None = None) -> None:
        return None

    async def request(self, out: Outbound) -> Exchange:
        self.last_used = time.monotonic()
        number = next(self._numbers)
        exchange = ChannelExchange(self, number, out)
        self.pending[number] = exchange
        params = out.params
        meta = envelope.fields_of(params.get("_meta")) if params and "_meta" in params else {}
        if "progressToken" in meta:
            exchange.token = meta["progressToken"]
            meta["progressToken"] = envelope.raw(number)
            params = {**(params or {}), "_meta": envelope.raw(meta)}
        try:
            await self.send(envelope.request(str(number).encode(), out.method, params))
        except BaseException:
            exchange.close()
            raise
        return exchange

    def received(self, line: bytes) -> None:
        """One message arrived from the upstream."""
        try:
            message = envelope.parse(line)
        except envelope.EnvelopeError:
            return  # servers print stray lines to stdout; they are not ours to judge
        if message.is_response:
            self._response(message)
        elif message.is_request:
            self._asked(message)
        else:
            self._noted(message)

    def _response(self, message: envelope.Message) -> None:
        exchange = self._by_raw(message.id)
        if exchange is None:
            return
        self.pending.pop(exchange.number, None)
        message.fields["id"] = msgspec.Raw(exchange.out.id)
        exchange.put(Frame(envelope.encode(message.fields)))
        exchange.finish()

    def _by_raw(self, raw: bytes | msgspec.Raw | None) -> ChannelExchange | None:
        try:
            return self.pending.get(int(bytes(raw or b"")))
        except ValueError:
            return None

    def _asked(self, message: envelope.Message) -> None:
        """A request from the upstream: it belongs to the only caller at work, or to nobody."""
        exchange = self._only_one()
        if exchange is not None:
            exchange.put(Frame(envelope.encode(message.fields)))
        else:
            self._unrelated(message)

    def _noted(self, message: envelope.Message) -> None:
        params = message.params
        exchange: ChannelExchange | None = None
        if message.method == "notifications/progress":
            exchange = self._by_raw(params.get("progressToken"))
            if exchange is None or exchange.token is None:
                return
            params["progressToken"] = exchange.token
            message.fields["params"] = envelope.raw(params)
        elif message.method == "notifications/message":
            exchange = self._only_one()
        else:
            meta = envelope.fields_of(params.get("_meta"))
            if META_SUBSCRIPTION in meta:
                exchange = self._by_raw(meta[META_SUBSCRIPTION])
                if exchange is not None:
                    meta[META_SUBSCRIPTION] = msgspec.Raw(exchange.out.id)
                    params["_meta"] = envelope.raw(meta)
                    message.fields["params"] = envelope.raw(params)
        if exchange is not None:
            exchange.put(Frame(envelope.encode(message.fields)))
        elif message.method != "notifications/message":
            self._unrelated(message)

    def _only_one(self) -> ChannelExchange | None:
        working = [e for e in self.pending.values() if e.out.method != "subscriptions/listen"]
        return working[0] if len(working) == 1 else None

    def lost(self, reason: str) -> None:
        """The connection is gone: every caller learns so at once."""
        self.is_open = False
        pending, self.pending = list(self.pending.values()), {}
        for exchange in pending:
            exchange.put(UpstreamError("unreachable", f"server {self.name}: {reason}"))

    async def open(self, hello: Hello, era: str) -> None:
        """Find out the era and, where it is the legacy one, shake hands."""
        patience = self._timeout if era == "modern" else min(PROBE_SECONDS, self._timeout)
        if era != "legacy" and await self._discover(hello, patience):
            return
        if era == "modern":
            raise UpstreamError("era", f"server {self.name} does not speak {LATEST_MODERN}")
        if hello.version == LATEST_MODERN:
            hello = msgspec.structs.replace(hello, version=LATEST_LEGACY)
        out = Outbound(next_id(), "initialize", hello.initialize_params(), timeout=self._timeout)
        message = await final(await self.request(out), self.name)
        if message.result is None:
            raise UpstreamError("initialize", f"server {self.name} refused to initialize")
        self.era = "legacy"
        self.info = envelope.fields_of(message.result)
        self.version = envelope.text(self.info.get("protocolVersion")) or LATEST_LEGACY
        await self.notify(envelope.notification("notifications/initialized"))

    async def _discover(self, hello: Hello, timeout: float) -> bool:
        modern = msgspec.structs.replace(hello, version=LATEST_MODERN)
        params: envelope.Fields = {"_meta": envelope.raw(modern.meta())}
        out = Outbound(next_id(), "server/discover", params, timeout=timeout)
        try:
            message = await final(await self.request(out), self.name)
        except UpstreamError as error:
            if error.kind == "timeout":
                return False
            raise
        info = envelope.fields_of(message.result)
        if LATEST_MODERN.encode() not in bytes(info.get("supportedVersions", b"")):
            return False
        self.era, self.version, self.info = "modern", LATEST_MODERN, info
        return True

    async def close(self) -> None:
        self.lost("closed")
        if self.on_close is not None:
            await self.on_close()
