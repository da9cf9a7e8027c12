# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Alert rules, each with what it means and what to do. Pure.

What to do is doctor's sentence for that cause, as far as doctor knows the cause; a test compares
them. `<name>` in an expression or a text is a setting, `{{ }}` is Prometheus's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.text import as_yaml

CRITICAL, WARNING = "critical", "warning"
# Alertmanager passes it to receivers that ask for it and to no others.
ALWAYS = "none"


@dataclass(frozen=True)
class Rule:
    """One alert. doctor: doctor's sentence for the cause; action: ours, where it has none."""

    name: str
    expr: str
    lasting: str
    summary: str
    description: str
    doctor: str = ""
    action: str = ""
    severity: str = CRITICAL


def new_or_grown(counter: str, span: str) -> str:
    """A counter that went up lately, or that appeared, which `increase` does not see."""
    return f"increase({counter}[{span}]) > 0 or ({counter} unless {counter} offset {span}) > 0"


def share(part: str, whole: str) -> str:
    """What percentage of requests a part was, where there were enough to speak of one."""
    return f"100 * {part} / {whole} > <error_percent> and {whole} > 0.05"


START = "docker start <prefix>{{ $labels.service }}"
GATEWAY = "sum by (service) (rate(mcp_gateway_requests_total[5m]))"
GATEWAY_FAILED = 'sum by (service) (rate(mcp_gateway_requests_total{status="error"}[5m]))'
HAPROXY = "sum by (proxy) (rate(haproxy_backend_http_responses_total[5m]))"
HAPROXY_FAILED = 'sum by (proxy) (rate(haproxy_backend_http_responses_total{code="5xx"}[5m]))'
TRAEFIK = "sum by (exported_service) (rate(traefik_service_requests_total[5m]))"
TRAEFIK_FAILED = 'sum by (exported_service) (rate(traefik_service_requests_total{code=~"5.."}[5m]))'

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
        "probe_success == 0",
        "3m",  # LiteLLM takes a minute or two to start where CPUs are slow
        "{{ $labels.service }} on {{ $labels.host }} is not ready",
        "Asked at {{ $labels.instance }}, it does not answer 200.",
        doctor=START,
    ),
    Rule(
        "CertificateExpires",
        "(probe_ssl_earliest_cert_expiry - time()) / 86400 < <certificate_days>",
        "5m",
        "The certificate of {{ $labels.service }} on {{ $labels.host }} expires soon",
        "It is valid for {{ $value | printf `%.0f` }} days more, expected at least "
        "<certificate_days>.",
        doctor="renew it where it is served from",
        severity=WARNING,
    ),
)
FREE = "node_filesystem_avail_bytes / node_filesystem_size_bytes"
HOSTS = (
    Rule(
        "DiskFull",
        "predict_linear(node_filesystem_avail_bytes[6h], 4 * 86400) < 0 and "
        f"{FREE} < 0.4 or {FREE} < 0.05",
        "30m",
        "A disk of {{ $labels.host }} is full within four days",
        "At its present pace, or it has less than 5 % left. {{ $labels.mountpoint }} is / for the "
        "engine's disk and /data for that of platform_data_dir.",
        doctor="make room (old images with docker image prune, models no longer used, backups) or "
        "mount a larger disk there; nothing is deleted for you, and doctor_disk_reserve_mb sets "
        "the least",
        severity=WARNING,
    ),
)
# Exporters have numbers of their own under the same names, of nothing.
DATA = (
    Rule(
        "PostgresDown",
        'pg_up{service="postgres"} == 0',
        "1m",
        "PostgreSQL on {{ $labels.host }} accepts no connection",
        "Its exporter cannot log in. Keys are refused while LiteLLM has no database.",
        doctor="docker start <prefix>postgres",
    ),
    Rule(
        "PostgresNoPrimary",
        "max(patroni_primary) == 0",
        "1m",
        "PostgreSQL has no primary",
        "No member of the cluster leads, so nothing can be written.",
        doctor="wait half a minute; then see that a majority of etcd's members runs, and read "
        "docker logs <prefix>postgres on each host",
    ),
    Rule(
        "DatabaseConnections",
        "100 * sum by (service, host) (pg_stat_database_numbackends)"
        " / sum by (service, host) (pg_settings_max_connections) > <connections_percent>",
        "5m",
        "PostgreSQL on {{ $labels.host }} runs out of connections",
        "{{ $value | printf `%.0f` }} % are taken, expected at most <connections_percent> %. "
        "LiteLLM answers 401 to good keys when it gets none.",
        doctor="end the program that holds them, lower litellm_db_pool, or raise "
        "platform_database.max_connections",
        severity=WARNING,
    ),
    Rule(
        "RedisDown",
        'redis_up{service="redis"} == 0',
        "1m",
        "Redis on {{ $labels.host }} does not serve",
        "Its exporter cannot log in. Replicas share no rate limits and no news of revoked keys.",
        doctor="docker logs <prefix>redis; a wrong password: run the playbook",
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
GROUPS = {
    "services": SERVICES,
    "hosts": HOSTS,
    "data": DATA,
    "entry points": ENTRY_POINTS,
    "tools": TOOLS,
    "monitoring": ITSELF,
}


def rules(settings: dict) -> str:
    """Render rules.yml.

    settings: prefix (of containers' names) and the bounds error_percent, p95_seconds,
    certificate_days and connections_percent.
    """
    groups = [
        {"name": name, "rules": [_rendered(rule, settings) for rule in group]}
        for name, group in GROUPS.items()
    ]
    return as_yaml({"groups": groups})


def runbook(rule: Rule) -> str:
    """What to do, and what finds the cause."""
    if rule.severity == ALWAYS:
        return rule.action
    return f"{rule.doctor or rule.action}. `make doctor` inspects the platform and names the cause."


def _rendered(rule: Rule, settings: dict) -> dict:
    texts = {
        "summary": rule.summary,
        "description": rule.description,
        "runbook": runbook(rule),
    }
    return {
        "alert": rule.name,
        "expr": _filled(rule.expr, settings),
        "for": rule.lasting,
        "labels": {"severity": rule.severity},
        "annotations": {name: _filled(text, settings) for name, text in texts.items()},
    }


def _filled(text: str, settings: dict) -> str:
    return re.sub(r"<(\w+)>", lambda match: str(settings[match[1]]), text)
