"""Whatever stopped a request becomes one answer and one word in the record."""

from __future__ import annotations

import asyncio
import logging

from mcp_gateway import envelope
from mcp_gateway.call import Call
from mcp_gateway.credentials import CredentialError
from mcp_gateway.gateway import Gateway
from mcp_gateway.refusal import Refusal
from mcp_gateway.responsewriter import ResponseWriter, SlowReader
from mcp_gateway.upstreams.base import UpstreamError

log = logging.getLogger("mcp_gateway.app")
CANCELLED = -32800


async def conclude(
    gateway: Gateway, call: Call, writer: ResponseWriter, error: BaseException
) -> None:
    """Answer for `error`; raises it again when nobody is left to answer to."""
    if isinstance(error, Refusal):
        call.failed(error.kind, "refused")
        await _refuse(call, error, writer)
    elif isinstance(error, UpstreamError):
        data = {"server": call.server, "reason": error.kind}
        is_refusal = False
        if isinstance(error, CredentialError):
            data["url"], is_refusal = error.url, error.is_refusal
        call.failed(error.kind, "refused" if is_refusal else "error")
        await writer.final(envelope.error(call.id, envelope.UPSTREAM_FAILED, str(error), data))
    elif isinstance(error, SlowReader):
        call.failed("slow_reader")
        gateway.metrics.slow_readers.inc()
    elif isinstance(error, ConnectionResetError):
        call.failed("client_gone", "cancelled")
    elif isinstance(error, asyncio.CancelledError):
        call.failed("cancelled", "cancelled")
        if not call.cancelled:
            raise error
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        await writer.final(envelope.error(call.id, CANCELLED, "cancelled by the client"))
    else:
        log.error("request %s failed", call.request_id, exc_info=error)
        call.failed("internal")
        await writer.final(envelope.error(call.id, envelope.INTERNAL_ERROR, "internal error"))


async def _refuse(call: Call, refusal: Refusal, writer: ResponseWriter) -> None:
    for name, value in refusal.headers.items():
        writer.add_header(name.encode(), value.encode("latin-1"))
    status = refusal.status
    is_request = call.message is not None and call.message.is_request
    if call.era == "legacy" and call.session is not None and refusal.kind != "session":
        # Errors about one request travel with HTTP 200 in the legacy era.
        status = 200 if is_request and status in (400, 404) else status
    # An answer to an answer would be taken for one to a request of the client's.
    await writer.final(refusal.body(call.id if is_request else None), status)
