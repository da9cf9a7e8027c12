"""Stage 7: write down what happened: one audit line a call, and the metrics."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import sys
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mcp_gateway import __version__, envelope
from mcp_gateway.call import Call

log = logging.getLogger("mcp_gateway.audit")
FLUSH_SECONDS = 0.1
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """What `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.requests = Counter(
            "mcp_gateway_requests_total",
            "Requests by server, method, era and status.",
            ["server", "method", "era", "status"],
            registry=r,
        )
        self.errors = Counter(
            "mcp_gateway_errors_total", "Failed requests by class.", ["server", "kind"], registry=r
        )
        self.seconds = Histogram(
            "mcp_gateway_request_seconds",
            "Time from the request's first byte to its last answer.",
            ["server"],
            buckets=BUCKETS,
            registry=r,
        )
        self.upstream_up = Gauge(
            "mcp_gateway_upstream_up", "1 when calls are let through.", ["server"], registry=r
        )
        self.upstream_tools = Gauge(
            "mcp_gateway_upstream_tools", "Tools in the last good list.", ["server"], registry=r
        )
        self.upstream_list_age = Gauge(
            "mcp_gateway_upstream_list_age_seconds",
            "Age of the last good list.",
            ["server"],
            registry=r,
        )
        self.streams = Gauge("mcp_gateway_streams", "Open event streams.", registry=r)
        self.sessions = Gauge(
            "mcp_gateway_sessions", "Legacy sessions seen lately at this replica.", registry=r
        )
        self.in_flight = Gauge("mcp_gateway_in_flight", "Requests being served.", registry=r)
        self.auth_cache = Counter(
            "mcp_gateway_auth_cache_total", "Look-ups of credentials.", ["outcome"], registry=r
        )
        self.drift = Counter(
            "mcp_gateway_tool_drift_total",
            "Tools whose description changed.",
            ["server"],
            registry=r,
        )
        self.audit_dropped = Counter(
            "mcp_gateway_audit_dropped_total", "Audit lines lost to a full queue.", registry=r
        )
        self.rate_limit_away = Counter(
            "mcp_gateway_rate_limit_store_errors_total",
            "Rate-limit checks let through because Redis was away.",
            registry=r,
        )
        self.reloads = Counter(
            "mcp_gateway_config_reloads_total", "Configuration reloads.", ["outcome"], registry=r
        )
        self.slow_readers = Counter(
            "mcp_gateway_slow_readers_total", "Streams dropped because nobody read.", registry=r
        )
        build = Gauge("mcp_gateway_build_info", "The running version.", ["version"], registry=r)
        build.labels(__version__).set(1)
        self._children: dict[tuple[str, ...], Counter] = {}

    def count(self, server: str, method: str, era: str, status: str) -> None:
        key = (server, method, era, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self.requests.labels(*key)
        child.inc()


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


class Audit:
    """JSON lines to a file or stdout, written in batches off the event loop."""

    def __init__(self, path: str, max_lines: int, metrics: Metrics) -> None:
        self._path = path
        self._max = max_lines
        self._metrics = metrics
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._fd = sys.stdout.fileno() if path == "-" else self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def write(self, entry: dict[str, object]) -> None:
        if len(self._lines) >= self._max:
            self._metrics.audit_dropped.inc()
            return
        self._lines.append(envelope.encode(entry))
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self._flush_later)

    def _flush_later(self) -> None:
        lines, self._lines = self._lines, []
        future = asyncio.get_running_loop().run_in_executor(None, self._write, lines)
        future.add_done_callback(self._flushed)

    def _flushed(self, _: object) -> None:
        self._timer = None
        if self._lines:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_later)

    def _write(self, lines: list[bytes]) -> None:
        data = memoryview(b"\n".join(lines) + b"\n")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            self._metrics.audit_dropped.inc(len(lines))
            log.error("the audit log %s cannot be written: %s", self._path, error.strerror)

    def reopen(self) -> None:
        """Open the file anew, after something rotated it."""
        if self._path != "-":
            old, self._fd = self._fd, self._open()
            os.close(old)

    def close(self) -> None:
        """Write what is left."""
        if self._timer is not None:
            self._timer.cancel()
        lines, self._lines = self._lines, []
        if lines:
            self._write(lines)
        if self._path != "-":
            with contextlib.suppress(OSError):
                os.close(self._fd)


class Recorder:
    """Turns finished calls into audit lines and metrics."""

    def __init__(self, metrics: Metrics, audit: Audit) -> None:
        self.metrics = metrics
        self.audit = audit

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
        if call.method != "subscriptions/listen":
            metrics.seconds.labels(server).observe(seconds)
        self.audit.write(self._entry(call, method, seconds))

    def _entry(self, call: Call, method: str, seconds: float) -> dict[str, object]:
        params = call.message.params if call.message is not None else {}
        arguments = params.get("arguments")
        entry: dict[str, object] = {
            "time": _iso_now(),
            "caller": call.who.alias,
            "team": call.who.team,
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


_clock = (0, "")


def _iso_now() -> str:
    """UTC with milliseconds; the seconds part is formatted once a second."""
    global _clock
    now = time.time()
    whole = int(now)
    if _clock[0] != whole:
        _clock = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)))
    return f"{_clock[1]}.{int((now - whole) * 1000):03d}Z"


def _trace_id(call: Call, params: envelope.Fields) -> str:
    """The W3C trace id of the request's header or `_meta`."""
    parent = call.header(b"traceparent")
    if parent is None and "_meta" in params:
        parent = envelope.text(envelope.fields_of(params["_meta"]).get("traceparent"))
    parts = (parent or "").split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else ""
