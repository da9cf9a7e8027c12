"""One request of a client at its server: the link that it uses, and the exchange under way."""

from __future__ import annotations

import asyncio
import contextlib

from mcp_gateway import envelope, links
from mcp_gateway.call import Call
from mcp_gateway.eras import LIST_MEMBER
from mcp_gateway.gateway import Gateway
from mcp_gateway.outbound import build
from mcp_gateway.pages import Pages
from mcp_gateway.refusal import Refusal
from mcp_gateway.responsewriter import ResponseWriter
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


class UpstreamRequest:
    """What is known of the request at its server; sends it, and sends it again where that helps."""

    link: Link
    exchange: Exchange

    def __init__(
        self,
        gateway: Gateway,
        call: Call,
        target: Target,
        upstream: Upstream,
        writer: ResponseWriter,
    ) -> None:
        self.gateway = gateway
        self.call = call
        self.target = target
        self.upstream = upstream
        self.writer = writer
        # Requests of the server that a client was asked under ids of ours.
        self.question_ids: list[str] = []
        # Clients get whole lists (in pages of our own): some read the first page only.
        self.pages: Pages | None = None
        if call.method in LIST_MEMBER:
            self.pages = Pages(call.method, gateway.config.limits)
            target.params = {k: v for k, v in target.params.items() if k != "cursor"}

    @property
    def passes_through(self) -> bool:
        """Whether the client's own session at the server is used, ids and all."""
        return links.passes_through(self.upstream, self.call)

    @property
    def is_legacy_throughout(self) -> bool:
        return self.call.era == "legacy" and self.link.era == "legacy"

    async def open(self) -> None:
        """Send the request, or go on with one that waited for the client's input."""
        if await self._resume_parked():
            return
        links.go_home(self.gateway.peers, self.upstream, self.call)
        try:
            await self._send(await links.choose(self.upstream, self.call))
        except SessionLost:
            await self._reopen()

    async def _send(self, link: Link) -> None:
        self.link = link
        self._hand_over()
        self.exchange = await link.request(self._outbound(self.target.params))

    async def _reopen(self) -> None:
        """The server no longer knows the session: begin a new one, where the client cannot."""
        await self.upstream.pool.drop(links.key_of(self.upstream, self.call), tell=False)
        if self.call.route and self.passes_through:
            raise Refusal(
                "session", 404, envelope.REFUSED, "the server no longer knows this session"
            ) from None
        if self.call.session is not None:
            self.call.session.upstream.pop(self.upstream.name, None)
            links.go_home(self.gateway.peers, self.upstream, self.call)
        await self._send(await links.reopen(self.upstream, self.call))

    def _hand_over(self) -> None:
        """Another replica passed this call on: next time it can go to the server itself."""
        if self.passes_through and not self.call.route:
            value = links.memo(self.link)
            self.gateway.peers.hand_over(self.call, self.writer, self.upstream.name, value)

    async def _resume_parked(self) -> bool:
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
        return build(self.gateway, self.call, self.target, self.upstream, self.link, params)

    async def send_again(self, params: envelope.Fields) -> None:
        """The same request with other params: the next page, or with the client's input."""
        out = self._outbound(params)
        out.id = next_id()
        self.exchange = await self.link.request(out)

    async def resume_events(self, last_event_id: str | None) -> None:
        """The server hung up in mid-call; its modern client cannot resume, but we can."""
        exchange = await self.link.events(last_event_id)
        if exchange is None:
            raise UpstreamError(
                "protocol", f"server {self.upstream.name} offers no way to resume its answer"
            )
        self.exchange = exchange

    async def cancel(self, reason: str) -> None:
        with contextlib.suppress(UpstreamError):
            await asyncio.shield(self.exchange.cancel(reason))

    def withdraw_questions(self) -> None:
        """Answers to what this call asked the client come too late from now on."""
        if self.call.session is not None and self.question_ids:
            self.gateway.questions.withdraw(self.call.session.uid, self.question_ids)

    def stamped(self, frame: Frame) -> Frame:
        """With all servers behind one stream, an event id says whose it is."""
        if frame.event_id is not None and not self.call.route:
            frame.event_id = f"{self.upstream.name}/".encode() + frame.event_id
        return frame
