"""What a server sends back for one request, frame by frame, until the response."""

from __future__ import annotations

import asyncio

from mcp_gateway import deliver, envelope, lenient, serverrequests, translate
from mcp_gateway.eras import MAY_ASK
from mcp_gateway.route import names_task
from mcp_gateway.sse import Frame
from mcp_gateway.upstreamrequest import UpstreamRequest
from mcp_gateway.upstreams.base import UpstreamError

MAX_ROUNDS = 10


class AnswerReader:
    """Reads the answer to one request; what a frame is decides what happens to it."""

    _last: Frame

    def __init__(self, request: UpstreamRequest) -> None:
        self._request = request
        self._is_parked = False
        self._is_resumable = False
        self._last_event_id: str | None = None

    async def run(self) -> None:
        """Until the client has its response, or something else instead."""
        rounds, request = 0, self._request
        while True:
            message = await self._until_response()
            if message is None:
                return
            if await self._ask_next_page(message):
                continue
            if request.call.era == "legacy" and translate.is_input_required(message):
                rounds += 1
                if rounds > MAX_ROUNDS:
                    raise UpstreamError(
                        "protocol",
                        f"server {request.upstream.name} asked for input {rounds} times "
                        "in one call",
                    )
                await self._ask_legacy_client(message)
                continue
            await deliver.response(request, self._last, message)
            return

    async def _until_response(self) -> envelope.Message | None:
        """The response; None when the client got something else instead and the call is over."""
        request = self._request
        while True:
            exchange = request.exchange
            exchange.may_stream = self._changes_nothing
            exchange.holds = request.call.hold_answer
            try:
                while (frame := await exchange.next()) is not None:
                    done, message = await self._take(frame)
                    if done:
                        return message
            except asyncio.CancelledError:
                if not self._is_resumable or request.call.cancelled:
                    await request.cancel("the client left")
                raise
            except UpstreamError as error:
                if error.kind == "timeout":
                    await request.cancel("timeout")
                raise
            finally:
                if request.exchange is exchange and not self._is_parked:
                    exchange.close()
            if not self._is_resumable:
                raise UpstreamError(
                    "protocol",
                    f"server {request.upstream.name} ended its answer without a response",
                )
            if request.is_legacy_throughout:
                await request.writer.end()  # the client asks again with Last-Event-ID
                return None
            await request.resume_events(self._last_event_id)
            self._is_resumable = False

    async def _take(self, frame: Frame) -> tuple[bool, envelope.Message | None]:
        """Deal with one frame; (True, response or None) when it was the last one."""
        request = self._request
        if frame.event_id is not None:
            self._is_resumable = True
            self._last_event_id = frame.event_id.decode("latin-1")
        if frame.rest is not None:
            await deliver.copy(request, frame)
            return True, None
        if not frame.data:
            if request.is_legacy_throughout:
                await request.writer.event(request.stamped(frame))
            return False, None
        try:
            parse = envelope.parse if request.pages is None else lenient.parse
            message = parse(frame.data)
        except envelope.EnvelopeError:
            raise UpstreamError(
                "protocol", f"server {request.upstream.name} sent no JSON-RPC"
            ) from None
        if message.is_response:
            self._last = frame
            return True, message
        if message.is_notification:
            await deliver.notification(request, frame, message)
            return False, None
        goes_on = await serverrequests.pass_on(request, frame, message)
        self._is_parked = not goes_on
        return not goes_on, None

    @property
    def _changes_nothing(self) -> bool:
        """Whether the answer can go to the client as it comes."""
        call, link = self._request.call, self._request.link
        return (
            call.era == link.era
            and not link.rewrites_ids
            and call.method in MAY_ASK
            and (bool(call.route) or not names_task(call.method, call.msg.params))
            and self._request.writer.can_copy
        )

    async def _ask_next_page(self, message: envelope.Message) -> bool:
        """Whether this was a page of a list, and the next one is on its way."""
        request = self._request
        if request.pages is None or message.result is None:
            return False
        cursor = request.pages.add(message.result)
        if cursor is None:
            return False
        await request.send_again({**request.target.params, "cursor": cursor})
        return True

    async def _ask_legacy_client(self, message: envelope.Message) -> None:
        """Turn `input_required` into requests to the client, and its answers into a retry."""
        request = self._request
        result = envelope.fields_of(message.result)
        answers = await serverrequests.ask_client(
            request.gateway, request.call, request.writer, result
        )
        params = dict(request.target.params)
        params.pop("requestState", None)
        if answers:
            params["inputResponses"] = envelope.raw(answers)
        if "requestState" in result:
            params["requestState"] = result["requestState"]
        await request.send_again(params)
