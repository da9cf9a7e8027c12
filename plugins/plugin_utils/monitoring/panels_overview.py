# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Panels that say whether all is well, and how much is done. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panel import (
    COUNT,
    LINES,
    MONEY,
    PERCENT,
    RATE,
    SECONDS,
    TABLE,
    VALUE,
    Panel,
    Query,
    grown,
    per_second,
    percent,
    quantile,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels_models import (
    COST,
    MODEL_CALLS,
    MODEL_FAILURES,
    MODEL_SECONDS,
    TOKENS,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels_tools import (
    GATEWAY,
    GATEWAY_FAILURES,
    GATEWAY_SECONDS,
    TOOL_CALLS,
)

FIRING = 'ALERTS{alertstate="firing",alertname!="Watchdog"}'


def _entry(name: str, query: str) -> str:
    return f'label_replace({query}, "entry", "{name}", "", "")'


def _entries(models: str, tools: str) -> str:
    return f"{_entry('models', models)} or {_entry('tools', tools)}"


OVERVIEW = {
    "alerts": Panel("Alerts", VALUE, COUNT, (Query(f"count({FIRING}) or vector(0)"),)),
    "alert_times": Panel(
        "Alerts in this time",
        TABLE,
        SECONDS,
        (
            Query(
                f"60 * sum by (alertname, service, host) (count_over_time({FIRING}[<span>:1m]))",
                "Firing for",
            ),
        ),
        rows=("alertname", "service", "host"),
    ),
    "down": Panel(
        "Targets down",
        VALUE,
        COUNT,
        (Query("count(up == 0) or vector(0)"),),
        about="Services that do not answer Prometheus.",
    ),
    "keys": Panel(
        "Keys in use",
        VALUE,
        COUNT,
        (Query(f"count({grown(MODEL_CALLS, 'hashed_api_key')} > 0)"),),
    ),
    "tokens": Panel("Tokens", VALUE, COUNT, (Query(f"sum({grown(TOKENS, 'team')})"),)),
    "cost": Panel("Cost", VALUE, MONEY, (Query(f"sum({grown(COST, 'team')})"),)),
    "tool_calls": Panel(
        "Tool calls", VALUE, COUNT, (Query(f"sum({grown(TOOL_CALLS, 'server')})"),)
    ),
    "entries": Panel(
        "Entry points",
        TABLE,
        COUNT,
        (
            Query(
                _entries(f"sum({grown(MODEL_CALLS, 'job')})", f"sum({grown(GATEWAY, 'job')})"),
                "Requests",
            ),
            Query(
                _entries(
                    percent(MODEL_FAILURES, MODEL_CALLS, "<span>"),
                    percent(GATEWAY_FAILURES, GATEWAY, "<span>"),
                ),
                "Errors",
                PERCENT,
            ),
            Query(
                _entries(
                    quantile(0.5, MODEL_SECONDS, span="<span>"),
                    quantile(0.5, GATEWAY_SECONDS, span="<span>"),
                ),
                "p50",
                SECONDS,
            ),
            Query(
                _entries(
                    quantile(0.95, MODEL_SECONDS, span="<span>"),
                    quantile(0.95, GATEWAY_SECONDS, span="<span>"),
                ),
                "p95",
                SECONDS,
            ),
        ),
        rows=("entry",),
        about="p50 and p95: within which time half and 95 % of the requests were answered.",
    ),
    "requests": Panel(
        "Requests",
        LINES,
        RATE,
        (Query(per_second(MODEL_CALLS), "models"), Query(per_second(GATEWAY), "tools")),
    ),
    "errors": Panel(
        "Failed requests",
        LINES,
        PERCENT,
        (
            Query(percent(MODEL_FAILURES, MODEL_CALLS), "models"),
            Query(percent(GATEWAY_FAILURES, GATEWAY), "tools"),
        ),
    ),
    "latency": Panel(
        "Time to answer",
        LINES,
        SECONDS,
        (
            Query(quantile(0.5, MODEL_SECONDS), "models p50"),
            Query(quantile(0.95, MODEL_SECONDS), "models p95"),
            Query(quantile(0.5, GATEWAY_SECONDS), "tools p50"),
            Query(quantile(0.95, GATEWAY_SECONDS), "tools p95"),
        ),
    ),
    "balancer": Panel(
        "Answers of the load balancer",
        LINES,
        RATE,
        (
            Query(per_second("haproxy_backend_http_responses_total", "code") + " > 0", "{{code}}"),
            Query(per_second("traefik_service_requests_total", "code"), "{{code}}"),
        ),
    ),
}
