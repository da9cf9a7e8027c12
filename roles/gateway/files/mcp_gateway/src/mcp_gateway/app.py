"""The ASGI application. A request walks through the stages in the order of `_serve`:
admit, identify, classify, authorize, route, relay, record."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mcp_gateway import (
    classify,
    clientmessage,
    clientwatch,
    cors,
    dispatch,
    envelope,
    handshake,
    info,
    oneway,
    sseserver,
    streams,
)
from mcp_gateway.address import MCP_PATH, local_path
from mcp_gateway.admit import BODY_SECONDS, read_body
from mcp_gateway.call import Call
from mcp_gateway.conclude import conclude
from mcp_gateway.gateway import Gateway
from mcp_gateway.identify import Forbidden
from mcp_gateway.peers import HOP_HEADER, MisdirectedSession
from mcp_gateway.refusal import Refusal
from mcp_gateway.responsewriter import HttpResponseWriter

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

T = TypeVar("T")
_request_prefix = os.urandom(4).hex()
_request_numbers = itertools.count(1)


class App:
    """Serves MCP and the small pages around it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = local_path(scope["path"], self.gateway.path_prefix)
        scope = {**scope, "path": path}
        # Blanks around a value are no part of it; the parser leaves those behind it.
        headers = {name: value.strip(b" \t") for name, value in scope["headers"]}
        if self.gateway.admission.admits_page(headers):
            send = cors.readable(send, headers[b"origin"])
            if cors.is_preflight(scope["method"], headers):
                start = {"type": "http.response.start", "status": 204}
                await send({**start, "headers": cors.preflight(headers)})
                await send({"type": "http.response.body", "body": b""})
                return
        match = MCP_PATH.fullmatch(path)
        if match is None:
            await info.serve(self.gateway, scope, headers, send)
            return
        call = Call(headers, path, match[1] or "", match[2])
        call.address = self.gateway.proxies.client_of(scope, headers)
        writer = HttpResponseWriter(call, send, self.gateway.config.limits.slow_reader_seconds)
        self.gateway.metrics.in_flight.inc()
        try:
            await self._guarded(call, scope, receive, writer)
        finally:
            self.gateway.metrics.in_flight.dec()
            if not call.is_recorded_later:
                self.gateway.recorder.record(call)

    async def _guarded(
        self, call: Call, scope: Scope, receive: Receive, writer: HttpResponseWriter
    ) -> None:
        """Run the stages; turn whatever stops them into one answer."""
        try:
            try:
                await self._serve(call, scope, receive, writer)
            except MisdirectedSession as misdirected:
                await self._forward(call, scope, receive, writer, misdirected.home)
        except (Exception, asyncio.CancelledError) as error:
            await conclude(self.gateway, call, writer, error)

    async def _forward(
        self, call: Call, scope: Scope, receive: Receive, writer: HttpResponseWriter, home: str
    ) -> None:
        """Let the replica answer that can; do what is possible here when it is gone."""
        target = scope["path"] + (
            f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        )
        with self.gateway.bounds.held(call.who) as call.held:
            call.hold(len(call.body))
            method = scope["method"]
            work = self.gateway.peers.forward(call, writer, home, method, target, call.body)
            if await self._watched(call, receive, writer, work):
                return
            call.headers[HOP_HEADER] = b"0"  # nowhere else to go: stay
            await self._stage(call, scope, _replay(call.body, receive), writer)

    async def _serve(
        self, call: Call, scope: Scope, receive: Receive, writer: HttpResponseWriter
    ) -> None:
        gateway = self.gateway
        gateway.admission.check(call.headers, scope["headers"])
        call.request_id = f"{_request_prefix}-{next(_request_numbers)}"
        writer.headers.append((b"x-request-id", call.request_id.encode()))
        await self._identify(call, gateway.proxies.charged(scope, call.address))
        if call.route and call.route not in gateway.upstreams:
            raise Refusal("unknown", 404, envelope.REFUSED, f"there is no server {call.route}")
        call.server = call.route
        if gateway.rate_limiter.is_on:
            await gateway.rate_limiter.take(call.who)
        is_stream = call.endpoint == "sse" or scope["method"] == "GET"
        with gateway.bounds.held(call.who) as call.held:
            if is_stream:
                with gateway.bounds.stream(call.who):
                    await self._stage(call, scope, receive, writer)
                return
            with gateway.bounds.call(call.who) as call.slot:
                await self._stage(call, scope, receive, writer)

    async def _identify(self, call: Call, charged: str) -> None:
        """Note who calls, also for the audit of somebody who may use nothing here."""
        try:
            call.who = await self.gateway.identification.identify(call.headers, call.path, charged)
        except Forbidden as refusal:
            call.who, call.is_identified = refusal.who, True
            raise
        call.is_identified = True

    async def _stage(
        self, call: Call, scope: Scope, receive: Receive, writer: HttpResponseWriter
    ) -> None:
        """What to do depends on the endpoint and the HTTP method."""
        if call.endpoint == "messages" and scope["method"] == "POST":
            query = scope["query_string"]
            await sseserver.accept_message(self.gateway, call, query, receive, writer)
            return
        _check_accept(call, scope["method"])
        if call.endpoint == "sse" and scope["method"] == "GET":
            work = sseserver.serve_stream(self.gateway, call, writer)
            await self._watched(call, receive, writer, work)
        elif call.endpoint != "mcp":
            raise _wrong_method("GET" if call.endpoint == "sse" else "POST")
        elif scope["method"] == "POST":
            await self._post(call, scope, receive, writer)
        elif scope["method"] == "GET":
            await self._get(call, receive, writer)
        elif scope["method"] == "DELETE":
            await self._delete(call, writer)
        else:
            raise _wrong_method("POST, GET, DELETE")

    async def _post(
        self, call: Call, scope: Scope, receive: Receive, writer: HttpResponseWriter
    ) -> None:
        gateway = self.gateway
        if gateway.is_closing:
            raise Refusal(
                "draining", 503, envelope.BUSY, "the gateway is shutting down", headers=_RETRY
            )
        body = await read_body(receive, call, gateway.config.limits.body_bytes, BODY_SECONDS)
        call.body = body
        call.bytes_in = len(body)
        try:
            call.message = clientmessage.parse(body)
        except envelope.EnvelopeError as error:
            raise Refusal("envelope", 400, error.code, str(error), id=error.id) from None
        call.era, call.version = classify.classify(call.message, call.headers, scope["headers"])
        if call.era == "legacy" and call.method != "initialize":
            self._resume_session(call)
        if call.msg.is_request:
            await self._watched(
                call, receive, writer, dispatch.answer_request(gateway, call, writer)
            )
            return
        if call.msg.is_notification:
            await oneway.accept_notification(gateway, call)
        else:
            await oneway.accept_response(gateway, call)
        await writer.plain(202, b"", None)

    def _resume_session(self, call: Call) -> None:
        """Open the sealed session; 400 without one, 404 when it has ended."""
        token = call.header(b"mcp-session-id")
        if token is None:
            if call.method == "ping":
                return
            raise Refusal(
                "session",
                400,
                envelope.INVALID_REQUEST,
                "Mcp-Session-Id is missing: send initialize first",
            )
        session = self.gateway.sessions.open(token, call.who.id, call.route)
        if session is None:
            raise Refusal(
                "session", 404, envelope.INVALID_REQUEST, "this session has ended; initialize again"
            )
        call.session, call.session_token = session, token
        self.gateway.session_state.saw(session.uid)

    async def _watched(
        self, call: Call, receive: Receive, writer: HttpResponseWriter, work: Awaitable[T]
    ) -> T:
        seconds = self.gateway.config.limits.keepalive_seconds
        return await clientwatch.watched(call, receive, writer, seconds, work)

    async def _get(self, call: Call, receive: Receive, writer: HttpResponseWriter) -> None:
        """The legacy stream of a session."""
        version = call.header(b"mcp-protocol-version")
        if version in classify.MODERN_VERSIONS or not call.header(b"mcp-session-id"):
            raise _wrong_method("POST")
        call.era = "legacy"
        self._resume_session(call)
        assert call.session is not None
        call.version = call.session.version
        await self._watched(call, receive, writer, streams.serve_get(self.gateway, call, writer))

    async def _delete(self, call: Call, writer: HttpResponseWriter) -> None:
        """End a session here and at the upstreams where it has one."""
        call.era = "legacy"
        self._resume_session(call)
        if call.session is None:
            raise Refusal("session", 400, envelope.INVALID_REQUEST, "Mcp-Session-Id is missing")
        await handshake.end_session(self.gateway, call)
        self.gateway.peers.send_home(call, call.session.home)  # sessions at servers began there
        await writer.plain(200, b"", None)


_RETRY = {"retry-after": "2"}


def _wrong_method(allowed: str) -> Refusal:
    return Refusal(
        "http_method",
        405,
        envelope.INVALID_REQUEST,
        f"use {allowed} here (GET needs the Mcp-Session-Id of a legacy session)",
        headers={"allow": allowed},
    )


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body again, for a request that was read once already."""
    given = False

    async def again() -> dict[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _check_accept(call: Call, method: str) -> None:
    accept = call.headers.get(b"accept", b"*/*").lower()
    anything = b"*/*" in accept
    call.accepts_json = anything or b"application/json" in accept or b"application/*" in accept
    call.accepts_stream = anything or b"text/event-stream" in accept or b"text/*" in accept
    if not (call.accepts_stream or (call.accepts_json and method != "GET")):
        raise Refusal(
            "accept",
            406,
            envelope.INVALID_REQUEST,
            "Not Acceptable: accept application/json and text/event-stream",
        )
