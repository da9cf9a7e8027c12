# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Alert rules about services, what people reach them by, tools, and the monitoring itself."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rule import (
    ALWAYS,
    WARNING,
    Rule,
    new_or_grown,
    share,
)

START = "docker start <prefix>{{ $labels.container }}"
GATEWAY = "sum by (service) (rate(mcp_gateway_requests_total[5m]))"
GATEWAY_FAILED = 'sum by (service) (rate(mcp_gateway_requests_total{status="error"}[5m]))'
HAPROXY = "sum by (proxy) (rate(haproxy_backend_http_responses_total[5m]))"
HAPROXY_FAILED = 'sum by (proxy) (rate(haproxy_backend_http_responses_total{code="5xx"}[5m]))'
TRAEFIK = "sum by (exported_service) (rate(traefik_service_requests_total[5m]))"
TRAEFIK_FAILED = 'sum by (exported_service) (rate(traefik_service_requests_total{code=~"5.."}[5m]))'

# A service with several processes tells of one at a time: the youngest counts.
STARTED = "max_over_time({}[5m])"
STARTS = (
    "process_start_time_seconds",
    'redis_start_time_seconds{service="redis"}',
    "patroni_postmaster_start_time",
)
RESTARTED = " or ".join(f"changes({STARTED.format(start)}[30m:1m]) > 2" for start in STARTS)

# Of logs. A queue that is caught up with is empty now and then.
WAITING = (
    "{{ $value | printf `%.0f` }} lines wait in its queue {{ $labels.queue }} and do not become "
    "fewer. They are on disk until that is full (logs_queue_mb)."
)


def stuck(whose: str) -> str:
    """Queues in which lines wait, and no fewer than ten minutes before."""
    lines = f"log_queue_lines{{{whose}}}"
    return f"{lines} >= {lines} offset 10m and min_over_time({lines}[10m]) > 0"


SERVICES = (
    Rule(
        "TargetDown",
        "up == 0",
        "1m",
        "{{ $labels.service }} on {{ $labels.host }} does not answer Prometheus",
        "Its metrics cannot be read. The service, or the way to it, is down.",
        doctor=START,
    ),
    Rule(
        "ServiceNotReady",
        # An address that is not the platform's own may be out of reach from here.
        'probe_success{job!="certificates"} == 0',
        "3m",  # LiteLLM takes a minute or two to start where CPUs are slow
        "{{ $labels.service }} on {{ $labels.host }} is not ready",
        "Asked at {{ $labels.instance }}, it does not answer 200.",
        doctor=START,
    ),
    Rule(
        "ServiceRestarts",
        RESTARTED,
        "0m",
        "{{ $labels.service }} on {{ $labels.host }} starts again and again",
        "{{ $value | printf `%.0f` }} times in half an hour. What was under way is lost each time.",
        action="read its log on that host (docker logs): why it ends, or whether it reached its "
        "memory limit",
        severity=WARNING,
    ),
    Rule(
        "CertificateExpires",
        "(probe_ssl_earliest_cert_expiry - time()) / 86400 < <certificate_days>",
        "5m",
        "The certificate of {{ $labels.instance }} expires soon",
        "It is valid for {{ $value | printf `%.0f` }} days more, expected at least "
        "<certificate_days>.",
        doctor="renew it where it is served from",
        severity=WARNING,
    ),
    Rule(
        "AuthorityExpires",
        "(platform_certificate_not_after_seconds - time()) / 86400 < <authority_days>",
        "5m",
        "{{ $labels.file }} among the platform's secrets expires soon",
        "It is valid for {{ $value | printf `%.0f` }} days more, expected at least "
        "<authority_days>. People's machines trust tls/ca.crt; PostgreSQL's members trust those of "
        "postgres-cluster. Those of logs are renewed by any run of the playbook.",
        action="remove this file on the control node, keep the key beside it, and run the "
        "playbook; after tls/ca.crt run clients.yml, too, and have people's machines trust the "
        "new one",
        severity=WARNING,
    ),
)
ENTRY_POINTS = (
    Rule(
        "GatewayErrors",
        share(GATEWAY_FAILED, GATEWAY),
        "5m",
        "The MCP gateway fails requests",
        "{{ $value | printf `%.1f` }} % of requests failed, expected at most <error_percent> %.",
        action="read the audit log for the servers and error classes concerned",
    ),
    Rule(
        "GatewaySlow",
        "histogram_quantile(0.95, sum by (le, service, server)"
        " (rate(mcp_gateway_request_seconds_bucket[5m]))) > <p95_seconds>",
        "10m",
        "The MCP gateway answers slowly for server {{ $labels.server }}",
        "One call in twenty takes {{ $value | printf `%.1f` }} s or longer, expected at most "
        "<p95_seconds> s.",
        action="read docker logs <prefix>tool-{{ $labels.server }}: what do its calls wait for",
        severity=WARNING,
    ),
    Rule(
        "BalancerErrors",
        f"{share(HAPROXY_FAILED, HAPROXY)} or {share(TRAEFIK_FAILED, TRAEFIK)}",
        "5m",
        "The load balancer passes on errors of {{ $labels.proxy }}{{ $labels.exported_service }}",
        "{{ $value | printf `%.1f` }} % of answers were 5xx, expected at most <error_percent> %.",
        action="read the logs of the service's replicas",
    ),
    Rule(
        "BalancerSlow",
        # Of its own page: what it passes on takes as long as a model or a tool takes. One that does
        # not answer at all is not ready.
        'quantile_over_time(0.95, probe_duration_seconds{service="load_balancer"}[10m])'
        " > <balancer_p95_seconds> and probe_success == 1",
        "10m",
        "The load balancer on {{ $labels.host }} answers slowly",
        "One request in twenty for its own health page takes {{ $value | printf `%.1f` }} s or "
        "longer from the monitoring's host, expected at most <balancer_p95_seconds> s. Nothing "
        "behind it takes part in that, so all that people ask waits that long, too.",
        action="see what else keeps the CPU of its host busy, whether the network between the two "
        "hosts loses packets, and docker logs <prefix>load_balancer",
        severity=WARNING,
    ),
)
TOOLS = (
    Rule(
        "ToolServerDown",
        "mcp_gateway_upstream_up == 0",
        "1m",
        "The gateway on {{ $labels.host }} cannot use tool server {{ $labels.server }}",
        "Its calls are refused until it answers again.",
        doctor="docker logs <prefix>tool-{{ $labels.server }}, and restart it",
    ),
    Rule(
        "ToolDrift",
        new_or_grown("mcp_gateway_tool_drift_total", "1h"),
        "0m",
        "Tools of server {{ $labels.server }} changed their description",
        "A description tells agents what to do, so somebody has to read what changed.",
        action="read what the gateway logged, docker logs <prefix>gateway; with gateway_on_drift "
        "the tools wait until they are accepted",
        severity=WARNING,
    ),
    Rule(
        "GatewayConfigurationRefused",
        new_or_grown('mcp_gateway_config_reloads_total{outcome="refused"}', "15m"),
        "0m",
        "The gateway on {{ $labels.host }} refuses its new configuration",
        "It goes on with the last good one.",
        doctor="correct mcp_servers or gateway_policy_rules, and run the playbook",
        severity=WARNING,
    ),
    Rule(
        "AuditLinesLost",
        "increase(mcp_gateway_audit_dropped_total[10m]) > 0",
        "0m",
        "The gateway on {{ $labels.host }} lost audit lines",
        "They came faster than its disk takes them, so calls are missing in the audit log.",
        action="see what else keeps the disk of the gateway's host busy",
    ),
)
ITSELF = (
    Rule(
        "LogsWaitForCollector",
        stuck('service="log_shipper"'),
        "5m",
        "Logs of {{ $labels.host }} do not reach the log collector",
        WAITING,
        doctor="start it on the host of group monitoring; if it runs, look what filters between "
        "the two hosts, and read docker logs <prefix>log_shipper",
        severity=WARNING,
    ),
    Rule(
        "LogsWaitForSiem",
        stuck('container="log_collector"'),
        "5m",
        "Logs do not reach the SIEM",
        WAITING,
        doctor="start the SIEM's listener, or correct logs_siem (host, port, ca, name); the reason "
        "is in docker logs <prefix>log_collector",
        severity=WARNING,
    ),
    Rule(
        "LogLinesDropped",
        "increase(log_queue_dropped_lines_total[10m]) > 0",
        "0m",
        "{{ $labels.container }} on {{ $labels.host }} drops log lines",
        "The disk of its queue {{ $labels.queue }} is full (logs_queue_mb): its receiver has been "
        "away for long, or somebody prints faster than lines are taken.",
        action="see whether lines wait for the collector or the SIEM; else find the service that "
        "prints that much (docker logs), and restart it",
    ),
    Rule(
        "NotificationsFail",
        "increase(alertmanager_notifications_failed_total[5m]) > 0",
        "5m",
        "Alertmanager cannot deliver to {{ $labels.receiver_name }} by {{ $labels.integration }}",
        "The receiver refuses alerts or cannot be reached.",
        doctor="read docker logs <prefix>alertmanager, and correct prometheus_receivers",
    ),
    Rule(
        "Watchdog",
        "vector(1)",
        "0m",
        "Alerts arrive",
        "This alert never ends. When a receiver with watchdog: true no longer gets it, the "
        "monitoring itself is down.",
        action="nothing, as long as it arrives",
        severity=ALWAYS,
    ),
)
