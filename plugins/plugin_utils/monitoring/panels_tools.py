# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Panels of tools, out of the gateway's metrics. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panel import (
    COUNT,
    LINES,
    RATE,
    SECONDS,
    STATES,
    TABLE,
    VALUE,
    Panel,
    Query,
    grown,
    per_second,
    quantile,
)

GATEWAY = "mcp_gateway_requests_total"
GATEWAY_FAILURES = 'mcp_gateway_requests_total{status="error"}'
# Requests of one server: `-` are those that the gateway answers itself.
GATEWAY_SECONDS = 'mcp_gateway_request_seconds_bucket{server!="-"}'
TOOL_CALLS, TOOL_SECONDS = "mcp_gateway_tool_seconds_count", "mcp_gateway_tool_seconds_sum"
# Of those that the gateway could not deliver, and those that the tool itself calls an error.
TOOL_FAILURES = 'mcp_gateway_tool_seconds_count{status=~"error|tool_error"}'
TOOL_MEAN = f"{grown(TOOL_SECONDS, 'server, tool')} / {grown(TOOL_CALLS, 'server, tool')}"

TOOLS = {
    "tools": Panel(
        "Tools",
        TABLE,
        COUNT,
        (
            Query(
                f"topk(15, {TOOL_MEAN})",
                "Mean time",
                SECONDS,
            ),
            Query(grown(TOOL_CALLS, "server, tool"), "Calls"),
            Query(grown(TOOL_FAILURES, "server, tool"), "Errors"),
        ),
        about="The slowest first.",
        rows=("server", "tool"),
    ),
    "tool_servers": Panel(
        "Tool servers",
        STATES,
        COUNT,
        (Query("min by (server) (mcp_gateway_upstream_up)", "{{server}}"),),
    ),
    "server_calls": Panel(
        "Calls by server",
        LINES,
        RATE,
        (Query(per_second(TOOL_CALLS, "server"), "{{server}}"),),
    ),
    "server_latency": Panel(
        "Time to answer by server, p95",
        LINES,
        SECONDS,
        (Query(quantile(0.95, GATEWAY_SECONDS, "server"), "{{server}}"),),
    ),
    "server_errors": Panel(
        "Errors by server",
        LINES,
        RATE,
        (Query(per_second("mcp_gateway_errors_total", "server, kind"), "{{server}} {{kind}}"),),
        about="Refused calls are among them.",
    ),
    "team_calls": Panel(
        "Calls by team",
        LINES,
        RATE,
        (Query(per_second("mcp_gateway_team_calls_total", "team"), "{{team}}"),),
    ),
    "offered": Panel(
        "Tools listed",
        LINES,
        COUNT,
        (Query("max by (server) (mcp_gateway_upstream_tools)", "{{server}}"),),
    ),
    "drift": Panel(
        "Changed descriptions",
        VALUE,
        COUNT,
        (Query("sum(mcp_gateway_tool_drift_total) or vector(0)"),),
        about="Tools that describe themselves differently than when they were first seen.",
    ),
    "sessions": Panel(
        "Sessions and streams",
        LINES,
        COUNT,
        (
            Query("sum(mcp_gateway_sessions)", "sessions"),
            Query("sum(mcp_gateway_streams)", "streams"),
            Query("sum(mcp_gateway_in_flight)", "requests under way"),
        ),
    ),
}
