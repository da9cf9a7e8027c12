"""What every kind of upstream offers, whatever its transport and era."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import msgspec

from mcp_gateway import __version__, envelope
from mcp_gateway.eras import META_CAPABILITIES, META_CLIENT, META_VERSION
from mcp_gateway.settings import Breaker as BreakerSettings
from mcp_gateway.sse import Frame

# How long a server may take to say anything; one that ignores unknown methods costs this once.
PROBE_SECONDS = 10.0
_ids = itertools.count(1)


# An upstream that refuses what the gateway itself shows.
REFUSED = "credentials"


class UpstreamError(Exception):
    """An upstream could not answer. `kind` is the error class of metrics and audit.

    `sent` is false when the upstream took no connection: then no call can be to blame.
    """

    def __init__(self, kind: str, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.kind = kind
        self.sent = sent


class SessionLost(UpstreamError):
    """The upstream no longer knows the session; open a new one."""

    def __init__(self, name: str) -> None:
        super().__init__("session_lost", f"server {name} no longer knows this session")


def failure(name: str, error: Exception) -> UpstreamError:
    """What an error of the way to a server means for a call."""
    sent = getattr(error, "sent", True)
    kind = "timeout" if "within" in str(error) else "unreachable"
    if "exceeds" in str(error):
        kind = "too_large"
    return UpstreamError(kind, f"server {name}: {error}", sent=sent)


class Hello(msgspec.Struct, frozen=True):
    """How the gateway introduces a caller to an upstream."""

    version: str
    client: bytes = msgspec.json.encode({"name": "intranet-mcp-gateway", "version": __version__})
    capabilities: bytes = b"{}"
    caller: str = ""  # who it is, for bridges that are told (upstream option caller_header)
    person: str = ""  # whose credential is shown (upstream option per_user)

    def meta(self) -> envelope.Fields:
        """The members of `_meta` that each modern request carries."""
        return {
            META_VERSION: envelope.raw(self.version),
            META_CLIENT: msgspec.Raw(self.client),
            META_CAPABILITIES: msgspec.Raw(self.capabilities),
        }

    def initialize_params(self) -> envelope.Fields:
        return {
            "protocolVersion": envelope.raw(self.version),
            "capabilities": msgspec.Raw(self.capabilities),
            "clientInfo": msgspec.Raw(self.client),
        }


class Known(msgspec.Struct, frozen=True):
    """A session at an upstream that was opened earlier, perhaps at another replica."""

    version: str
    sid: str | None
    credential_id: str = ""  # of the credential with which it began


class Outbound(msgspec.Struct):
    """One request on its way to an upstream."""

    id: bytes
    method: str
    params: envelope.Fields | None
    headers: list[tuple[str, str]] = []
    timeout: float | None = 120
    status: int = 200


class Exchange(Protocol):
    """One request under way: frames until the response."""

    status: int
    has_status: bool  # whether that is the server's own HTTP status
    sid: str | None
    may_stream: bool  # set where nothing has to be changed in a large answer
    holds: Callable[[int], None]  # told how much of the answer is in memory

    async def next(self) -> Frame | None:
        """The next frame, None when the stream ended."""

    async def answer(self, body: bytes) -> None:
        """Deliver the client's response to a request that the upstream sent on this exchange."""

    async def cancel(self, reason: str) -> None:
        """Tell the upstream that nobody waits any more, and let go."""

    def close(self) -> None:
        """Let go without a word (the response arrived)."""


class Owner(Protocol):
    """Whose credential a link shows."""

    @property
    def person(self) -> str: ...


class Link(Protocol):
    """An open way to an upstream: a legacy session, a process, or modern statelessness."""

    era: str
    version: str
    sid: str | None
    credential_id: str
    info: envelope.Fields
    last_used: float
    rewrites_ids: bool
    is_open: bool

    @property
    def is_busy(self) -> bool:
        """Whether an answer is awaited over it."""
        ...

    @property
    def owner(self) -> Owner | None:
        """The person who shows their own credential; None where the gateway's is shown, or none."""
        ...

    async def request(self, out: Outbound) -> Exchange: ...

    async def notify(self, body: bytes) -> None: ...

    async def events(self, last_event_id: str | None = None) -> Exchange | None: ...

    async def close(self) -> None: ...


class Breaker:
    """Stops asking an upstream that keeps failing; lets one try through after a pause."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self.failures = 0
        self.opened_at: float | None = None
        self.last_error = ""
        self._trial = False

    @property
    def state(self) -> str:
        if self.opened_at is None:
            return "closed"
        if time.monotonic() - self.opened_at >= self.settings.open_seconds:
            return "half_open"
        return "open"

    def admits(self) -> bool:
        """Whether a call may go out now."""
        state = self.state
        if state == "half_open" and not self._trial:
            self._trial = True
            return True
        return state == "closed"

    def succeeded(self) -> None:
        self.failures = 0
        self.opened_at = None
        self._trial = False

    def failed(self, reason: str) -> None:
        self.failures += 1
        self.last_error = reason
        self._trial = False
        if self.failures >= self.settings.failures or self.opened_at is not None:
            self.opened_at = time.monotonic()

    def abandoned(self) -> None:
        """The trial call ended without telling anything (the caller left)."""
        self._trial = False


class Gate:
    """Bounds how many calls an upstream gets at once; one caller leaves a quarter to others."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.busy = 0
        self._share = size - size // 4
        self._by_caller: Counter[str] = Counter()
        self._waiters: list[tuple[str, asyncio.Future[None]]] = []

    async def enter(self, timeout: float, caller: str = "") -> bool:
        """Take a slot; False when none came free in time."""
        if self._has_slot(caller):
            self._take(caller)
            return True
        if len(self._waiters) >= self.size * 4:
            return False
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((caller, waiter))
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            return waiter.done() and not waiter.cancelled()  # it came in the same moment
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.leave(caller)
            raise
        finally:
            if (caller, waiter) in self._waiters:
                self._waiters.remove((caller, waiter))
        return True

    def leave(self, caller: str = "") -> None:
        """Give a slot back, to the first one who waits and may have it."""
        self.busy -= 1
        self._by_caller[caller] -= 1
        if not self._by_caller[caller]:
            del self._by_caller[caller]
        for index, (next_one, waiter) in enumerate(self._waiters):
            if not waiter.done() and self._has_slot(next_one):
                del self._waiters[index]
                self._take(next_one)
                waiter.set_result(None)
                return

    def _has_slot(self, caller: str) -> bool:
        return self.busy < self.size and self._by_caller[caller] < self._share

    def _take(self, caller: str) -> None:
        self.busy += 1
        self._by_caller[caller] += 1


def hold_nothing(_: int) -> None:
    """For the gateway's own requests, which have bounds of their own."""


def parsed(frame: Frame) -> envelope.Message | None:
    """The message in a frame that answers nothing; None when it is empty or junk."""
    try:
        return envelope.parse(frame.data) if frame.data else None
    except envelope.EnvelopeError:
        return None


def next_id() -> bytes:
    """A request id that no other request of this process uses."""
    return str(next(_ids)).encode()


async def final(
    exchange: Exchange,
    name: str,
    parse: Callable[[bytes], envelope.Message] = envelope.parse,
) -> envelope.Message:
    """Read an exchange to its response, ignoring what comes before."""
    try:
        while (frame := await exchange.next()) is not None:
            if not frame.data:
                continue
            try:
                message = parse(frame.data)
            except envelope.EnvelopeError:
                raise UpstreamError("protocol", f"server {name} sent no JSON-RPC") from None
            if message.is_response:
                exchange.close()
                return message
            if message.is_request and message.id is not None:
                await exchange.answer(
                    envelope.error(message.id, envelope.METHOD_NOT_FOUND, "not available here")
                )
    except BaseException:
        exchange.close()
        raise
    exchange.close()
    raise UpstreamError("protocol", f"server {name} ended its answer without a response")
