"""Stage 7: write down what happened: one audit line a call, and the metrics."""

from __future__ import annotations

import hashlib
import time

from mcp_gateway import envelope
from mcp_gateway.audit import Audit, Refusals, iso_now
from mcp_gateway.call import Call
from mcp_gateway.metrics import Metrics

# Labels come from a closed set: a client cannot make metrics grow.
KNOWN_METHODS = frozenset(
    {
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "completion/complete",
        "logging/setLevel",
        "subscriptions/listen",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tasks/cancel",
        "tasks/update",
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
        "response",
    }
)


class Recorder:
    """Turns finished calls into audit lines and metrics."""

    def __init__(self, metrics: Metrics, audit: Audit) -> None:
        self.metrics = metrics
        self.audit = audit
        self.refusals = Refusals(audit)

    def refused(self, kind: str, address: str) -> None:
        """A connection, or a request of nobody known, was refused."""
        self.metrics.refused.labels(kind).inc()
        self.refusals.count(kind, address)

    def record(self, call: Call) -> None:
        """Called exactly once a request, however it ended."""
        seconds = time.perf_counter() - call.started
        method = call.method or ("response" if call.message else "")
        known = method if method in KNOWN_METHODS else "other"
        server = call.server or "-"
        metrics = self.metrics
        metrics.count(server, known, call.era or "-", call.status)
        if call.error:
            metrics.errors.labels(server, call.error).inc()
        if call.method == "tools/call" and call.is_identified:
            metrics.tool_called(server, call.name, call.who.team, call.status, seconds)
        if call.method != "subscriptions/listen":
            metrics.seconds.labels(server).observe(seconds)
        if call.status == "refused" and not call.is_identified:
            self.refused(call.error, call.address)
            return
        self.audit.write(self._entry(call, method, seconds))

    def _entry(self, call: Call, method: str, seconds: float) -> dict[str, object]:
        params = call.message.params if call.message is not None else {}
        arguments = params.get("arguments")
        entry: dict[str, object] = {
            "time": iso_now(),
            "caller": call.who.alias,
            "team": call.who.team,
            "address": call.address,
            "era": call.era,
            "version": call.version,
            "server": call.server,
            "method": method[:100],
            "name": call.name[:300],
            "status": call.status,
            "error": call.error,
            "rule": call.rule,
            "ms": round(seconds * 1000, 2),
            "bytes_in": call.bytes_in,
            "bytes_out": call.bytes_out,
            "request_id": call.request_id,
            "trace_id": _trace_id(call, params),
        }
        if arguments is not None:
            entry["arguments_sha256"] = hashlib.sha256(bytes(arguments)).hexdigest()
        return entry


def _trace_id(call: Call, params: envelope.Fields) -> str:
    """The W3C trace id of the request's header or `_meta`."""
    parent = call.header(b"traceparent")
    if parent is None and "_meta" in params:
        parent = envelope.text(envelope.fields_of(params["_meta"]).get("traceparent"))
    parts = (parent or "").split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else ""
