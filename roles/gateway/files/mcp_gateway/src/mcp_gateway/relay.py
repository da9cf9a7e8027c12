"""Stage 6: send a request to its server and bring back what it says, translated where needed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from mcp_gateway import asking, envelope, lenient, links, translate
from mcp_gateway.call import Call
from mcp_gateway.eras import (
    LIST_MEMBER,
    LOG_LEVELS,
    MAY_ASK,
    META_LOG_LEVEL,
    STATUS_OF_CODE,
)
from mcp_gateway.outbound import build
from mcp_gateway.outlet import HttpOutlet, Outlet
from mcp_gateway.pages import Pages
from mcp_gateway.refusal import Refusal
from mcp_gateway.route import Target
from mcp_gateway.sse import Frame
from mcp_gateway.upstream import Upstream
from mcp_gateway.upstreams.base import (
    Exchange,
    Link,
    Outbound,
    SessionLost,
    UpstreamError,
    next_id,
)
from mcp_gateway.upstreams.streamable import HttpExchange, HttpTransport

if TYPE_CHECKING:
    from mcp_gateway.gateway import Gateway

PASSED_HEADERS = (b"traceparent", b"tracestate", b"baggage")
COUNTS_AS_FAILURE = {"unreachable", "timeout", "status", "protocol", "initialize"}
MAX_ROUNDS = 10


class Relay:
    """One call on its way to one upstream and back."""

    def __init__(
        self, gateway: Gateway, call: Call, target: Target, upstream: Upstream, outlet: Outlet
    ) -> None:
        self.gateway = gateway
        self.call = call
        self.target = target
        self.upstream = upstream
        self.outlet = outlet
        self.exchange: Exchange | None = None
        self.link: Link | None = None
        self.asked_ids: list[str] = []
        # Clients get whole lists (in pages of our own): some read the first page only.
        self.pages: Pages | None = None
        if call.method in LIST_MEMBER:
            self.pages = Pages(call.method, gateway.config.limits)
            target.params = {k: v for k, v in target.params.items() if k != "cursor"}
        self._is_parked = False
        self._resumable = False
        self._last_event_id: str | None = None

    async def run(self) -> None:
        """Relay the call; UpstreamError and Refusal say why there is no answer."""
        breaker = self.upstream.breaker
        known = None if breaker.state == "closed" else self.gateway.lists.last_known(self.call)
        if known is not None:
            await self.outlet.final(known)
            return
        if not breaker.admits():
            raise UpstreamError(
                "breaker_open",
                f"server {self.upstream.name} is not answering ({breaker.last_error}); "
                f"it is tried again within {breaker.settings.open_seconds:g} s",
            )
        is_long = self.call.method == "subscriptions/listen"  # takes no one's place
        gate, caller = self.upstream.gate, self.call.who.id
        if not is_long and not await gate.enter(self.upstream.timeout, caller):
            breaker.abandoned()
            raise UpstreamError(
                "busy",
                f"server {self.upstream.name} already has {gate.busy} calls at work, as many as "
                "it (concurrency) or one caller (three quarters of that) may have",
            )
        try:
            seconds = None if is_long else self.gateway.config.limits.call_max_seconds
            async with asyncio.timeout(seconds):
                await self._open()
                await self._pump()
            breaker.succeeded()
        except TimeoutError:
            breaker.abandoned()
            raise UpstreamError(
                "timeout", f"the call took longer than {seconds:g} s in all"
            ) from None
        except UpstreamError as error:
            if error.kind in COUNTS_AS_FAILURE:
                self.upstream.call_failed(error)
            else:
                breaker.abandoned()
            raise
        except BaseException:
            breaker.abandoned()
            raise
        finally:
            if not is_long:
                gate.leave(caller)
            if self.call.session is not None and self.asked_ids:
                self.gateway.questions.withdraw(self.call.session.uid, self.asked_ids)

    # sending
    async def _open(self) -> None:
        if await self._resume():
            return
        links.go_home(self.gateway.peers, self.upstream, self.call)
        try:
            self.link = await links.choose(self.upstream, self.call)
            self._hand_over()
            self.exchange = await self.link.request(self._outbound(self.target.params))
        except SessionLost:
            key = links.key_of(self.upstream, self.call)
            await self.upstream.forget(key, tell=False)
            if self.call.route and links.passes_through(self.upstream, self.call):
                raise Refusal(
                    "session", 404, envelope.REFUSED, "the server no longer knows this session"
                ) from None
            if self.call.session is not None:
                self.call.session.upstream.pop(self.upstream.name, None)
                links.go_home(self.gateway.peers, self.upstream, self.call)
            self.link = await links.reopen(self.upstream, self.call)
            self._hand_over()
            self.exchange = await self.link.request(self._outbound(self.target.params))

    def _hand_over(self) -> None:
        """Another replica passed this call on: next time it can go to the server itself."""
        assert self.link is not None
        if links.passes_through(self.upstream, self.call) and not self.call.route:
            value = links.memo(self.link.version, self.link.sid)
            self.gateway.peers.hand_over(self.call, self.outlet, self.upstream.name, value)

    async def _resume(self) -> bool:
        """Go on with a parked call when the client brings the input that it waits for."""
        params = self.target.params
        state = envelope.text(params.get("requestState"))
        parking = self.gateway.parking
        if self.call.era != "modern" or state is None or not parking.knows(state):
            return False
        self.gateway.peers.send_home(self.call, parking.home_of(state))
        parked = parking.resume(state, self.upstream.name, self.call.method, self.call.who.id)
        if parked is None:
            raise Refusal(
                "input_expired",
                400,
                envelope.INVALID_PARAMS,
                "the call that waited for this input has ended; send the request again",
            )
        self.exchange, self.link = parked.exchange, parked.link
        answers = envelope.fields_of(params.get("inputResponses"))
        answer = answers.get(parking.KEY)
        if answer is None:
            body = envelope.error(parked.ask_id, envelope.INVALID_PARAMS, "no input was given")
        else:
            body = envelope.result(parked.ask_id, answer)
        await self.exchange.answer(body)
        return True

    def _outbound(self, params: envelope.Fields) -> Outbound:
        assert self.link is not None
        return build(self.gateway, self.call, self.target, self.upstream, self.link, params)

    # receiving
    async def _pump(self) -> None:
        """Frames until the response; what a frame is decides what happens to it."""
        rounds = 0
        while True:
            message = await self._until_response()
            if message is None:
                return
            if await self._ask_next_page(message):
                continue
            if self.call.era == "legacy" and translate.is_input_required(message):
                rounds += 1
                if rounds > MAX_ROUNDS:
                    raise UpstreamError(
                        "protocol",
                        f"server {self.upstream.name} asked for input {rounds} times in one call",
                    )
                await self._ask_legacy_client(message)
                continue
            await self._finish(message)
            return

    async def _until_response(self) -> envelope.Message | None:
        """The response; None when the client got something else instead and the call is over."""
        while True:
            assert self.exchange is not None
            exchange = self.exchange
            if isinstance(exchange, HttpExchange):
                exchange.may_stream = self._changes_nothing
                exchange.holds = self.call.hold_answer
            try:
                while (frame := await exchange.next()) is not None:
                    if not isinstance(exchange, HttpExchange):
                        self.call.hold_answer(len(frame.data))
                    done, message = await self._take(frame)
                    if done:
                        return message
            except asyncio.CancelledError:
                if not self._resumable or self.call.cancelled:
                    await self._cancel("the client left")
                raise
            except UpstreamError as error:
                if error.kind == "timeout":
                    await self._cancel("timeout")
                raise
            finally:
                if self.exchange is exchange and not self._is_parked:
                    exchange.close()
            if not self._resumable:
                raise UpstreamError(
                    "protocol", f"server {self.upstream.name} ended its answer without a response"
                )
            if self._same_legacy:
                await self.outlet.end()  # the client asks again with Last-Event-ID
                return None
            await self._ask_again()

    async def _take(self, frame: Frame) -> tuple[bool, envelope.Message | None]:
        """Deal with one frame; (True, response or None) when it was the last one."""
        if frame.event_id is not None:
            self._resumable = True
            self._last_event_id = frame.event_id.decode("latin-1")
        if frame.rest is not None:
            await self._stream(frame)
            return True, None
        if not frame.data:
            if self._same_legacy:
                await self.outlet.event(self.stamped(frame))
            return False, None
        try:
            parse = envelope.parse if self.pages is None else lenient.parse
            message = parse(frame.data)
        except envelope.EnvelopeError:
            raise UpstreamError(
                "protocol", f"server {self.upstream.name} sent no JSON-RPC"
            ) from None
        if message.is_response:
            self._last = frame
            return True, message
        if message.is_notification:
            await self._note(frame, message)
            return False, None
        goes_on = await asking.pass_question(self, frame, message)
        self._is_parked = not goes_on
        return not goes_on, None

    @property
    def _changes_nothing(self) -> bool:
        """Whether the answer can go to the client as it comes."""
        call, link = self.call, self.link
        return (
            link is not None
            and call.era == link.era
            and not link.rewrites_ids
            and call.method in MAY_ASK
            and (bool(call.route) or not self.gateway.is_task_related(call))
            and isinstance(self.outlet, HttpOutlet)
        )

    async def _stream(self, frame: Frame) -> None:
        """A large answer, chunk by chunk: never more of it in memory than the client is behind."""
        assert isinstance(self.outlet, HttpOutlet) and self.exchange is not None
        chunk: bytes | None = frame.data
        await self.outlet.begin_raw(self.exchange.status)
        while chunk is not None:
            await self.outlet.write(chunk)
            chunk = await frame.rest() if frame.rest else None
        await self.outlet.end()

    async def _ask_again(self) -> None:
        """The server hung up in mid-call; its modern client cannot resume, but we can."""
        assert self.link is not None
        exchange = await self.link.events(self._last_event_id)
        if exchange is None:
            raise UpstreamError(
                "protocol", f"server {self.upstream.name} offers no way to resume its answer"
            )
        self._resumable = False
        self.exchange = exchange

    async def _cancel(self, reason: str) -> None:
        assert self.exchange is not None
        with contextlib.suppress(UpstreamError):
            await asyncio.shield(self.exchange.cancel(reason))

    @property
    def _same_legacy(self) -> bool:
        return self.call.era == "legacy" and self.link is not None and self.link.era == "legacy"

    def stamped(self, frame: Frame) -> Frame:
        """With all servers behind one stream, an event id says whose it is."""
        if frame.event_id is not None and not self.call.route:
            frame.event_id = f"{self.upstream.name}/".encode() + frame.event_id
        return frame

    async def _note(self, frame: Frame, message: envelope.Message) -> None:
        """A notification on its way to the client."""
        if message.method and message.method.endswith("/list_changed"):
            self.upstream.touch()
            if self.call.era == "modern" and self.call.method != "subscriptions/listen":
                return
        if message.method == "notifications/message" and not self._wants_log(message):
            return
        if self.call.session is not None and links.passes_through(self.upstream, self.call):
            uid = self.call.session.uid
            changed = asking.with_our_ids(self.gateway, uid, self.upstream.name, message)
            frame.data = changed or frame.data
        await self.outlet.event(self.stamped(frame))

    def _wants_log(self, message: envelope.Message) -> bool:
        """Modern clients get log messages only when, and as far as, they asked for them."""
        if self.call.era == "legacy" or (self.link and self.link.era == "modern"):
            return True
        meta = envelope.fields_of(self.call.msg.params.get("_meta"))
        wanted = envelope.text(meta.get(META_LOG_LEVEL))
        level = envelope.text(message.params.get("level"))
        if wanted not in LOG_LEVELS or level not in LOG_LEVELS:
            return False
        return LOG_LEVELS.index(level) >= LOG_LEVELS.index(wanted)

    async def _ask_next_page(self, message: envelope.Message) -> bool:
        """Whether this was a page of a list, and the next one is on its way."""
        if self.pages is None or message.result is None:
            return False
        cursor = self.pages.add(message.result)
        if cursor is None:
            return False
        assert self.link is not None
        out = self._outbound({**self.target.params, "cursor": cursor})
        out.id = next_id()
        self.exchange = await self.link.request(out)
        return True

    async def _ask_legacy_client(self, message: envelope.Message) -> None:
        """Turn `input_required` into requests to the client, and its answers into a retry."""
        assert self.link is not None and message.result is not None
        result = envelope.fields_of(message.result)
        answers = await asking.ask_client(self.gateway, self.call, self.outlet, result)
        params = dict(self.target.params)
        params.pop("requestState", None)
        if answers:
            params["inputResponses"] = envelope.raw(answers)
        if "requestState" in result:
            params["requestState"] = result["requestState"]
        out = self._outbound(params)
        out.id = next_id()
        self.exchange = await self.link.request(out)

    async def _finish(self, message: envelope.Message) -> None:
        """The response: put the client's id back, translate, filter, deliver."""
        assert self.exchange is not None and self.link is not None
        call, fields = self.call, message.fields
        changed = False
        if bytes(fields.get("id", b"")) != call.id:
            fields["id"] = msgspec.Raw(call.id)
            changed = True
        status = self.exchange.status
        if message.error is not None:
            call.failed("rpc_error")
            if call.era != self.link.era or not isinstance(self.upstream.transport, HttpTransport):
                status = self.error_status(message.error)
        elif message.result is not None:
            if self.pages is not None:
                listed = self.gateway.lists.of_server(call, message.result, self.pages)
                fields["result"] = envelope.raw(listed)
                changed = True
            elif call.era == "modern" and self.link.era == "legacy":
                fields["result"] = envelope.raw(
                    translate.result_to_modern(call.method, message.result)
                )
                changed = True
            if self.gateway.is_task_related(call) and not call.route:
                fields["result"] = envelope.raw(
                    self.gateway.with_task_prefix(call.server, fields["result"])
                )
                changed = True
            if call.method == "tools/call" and b'"isError":true' in self._last.data[-65536:]:
                call.failed("tool_error", "tool_error")
        frame = self.stamped(self._last)
        data = envelope.encode(fields) if changed else frame.data
        await self.outlet.final(data, status, frame.event_id)

    def error_status(self, raw: msgspec.Raw) -> int:
        """The HTTP status that goes with a JSON-RPC error in the client's era."""
        if self.call.era != "modern":
            return 200
        code = bytes(envelope.fields_of(raw).get("code", b"0"))
        return STATUS_OF_CODE.get(int(code) if code.lstrip(b"-").isdigit() else 0, 200)
