# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Each alert rule, evaluated by promtool: it fires when it has to, and is silent otherwise.

What a case does not break is as on a healthy platform, so that no other rule may fire with it.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import rules
from conftest import image, wait_until
from servers.balancer import PORTS

pytestmark = pytest.mark.integration

DAY = 86400
MIB = 2**20
CLOCK = 'node_time_seconds{service="node_exporter",host="one"}'
FIRST_TOKEN = 'litellm_llm_api_time_to_first_token_metric_bucket{model_group="m",le="%s"}'
ADDED = 'litellm_overhead_latency_metric_bucket{service="litellm",host="one",le="%s"}'
PROBED = 'probe_duration_seconds{service="load_balancer",host="one",job="load_balancer ready"}'
LITELLM_FAILED = (
    'litellm_proxy_failed_requests_metric_total{service="litellm",exception_status="%s"}'
)
BUDGET = 'litellm_%s_budget_metric{host="one",team="1",team_alias="%s"}'
KEY_LEFT = 'litellm_remaining_api_key_budget_metric{host="one",api_key_alias="ci"}'
KEY_BUDGET = 'litellm_api_key_max_budget_metric{host="one",api_key_alias="ci"}'
QUORUM = 'redis_sentinel_master_ckquorum_status{service="redis_sentinel",host="one",message="%s"}'
STARTED = 'process_start_time_seconds{service="gateway",host="one"}'
WORKERS = 'process_start_time_seconds{service="litellm",host="one"}'
LEADER = 'etcd_server_has_leader{service="etcd_metrics",host="one"}'
CHANGES = 'etcd_server_leader_changes_seen_total{service="etcd_metrics",host="one"}'
QUEUE = (
    'log_queue_lines{service="log_shipper",container="log_shipper",host="%s",queue="audit"}',
    'log_queue_lines{service="log_collector_metrics",container="log_collector",host="%s",queue="x"}',
)
DROPPED = 'log_queue_dropped_lines_total{container="log_shipper",host="one",queue="container"}'
BACKUP = 'intranet_backup_finished_timestamp_seconds{service="node_exporter",host="one"}'
LOST = 'mcp_gateway_audit_dropped_total{service="gateway",host="one"}'
UPSTREAM = 'mcp_gateway_upstream_up{service="gateway",host="one",server="wiki"}'
AUTHORITY = 'platform_certificate_not_after_seconds{file="tls/ca.crt"}'
# A value every 15 s for fifty minutes. promtool's clock begins at 0.
HEALTHY = {
    'up{service="redis",host="one",job="redis"}': "1x200",
    'probe_success{service="gateway",host="one",instance="http://one:8080/ready"}': "1x200",
    'probe_ssl_earliest_cert_expiry{service="load_balancer",host="one"}': f"{60 * DAY}x200",
    STARTED: "100x200",
    # Two workers, which answer in turns.
    WORKERS: " ".join(["1 2"] * 100),
    'redis_start_time_seconds{service="redis",host="one"}': "100x40 200x160",
    'pg_up{service="postgres",host="one"}': "1x200",
    'pg_up{service="postgres_exporter",host="one"}': "0x200",  # of its own, as nobody named one
    'patroni_primary{service="patroni",host="one"}': "1x200",
    'patroni_primary{service="patroni",host="two"}': "0x200",
    'pg_stat_database_numbackends{service="postgres",host="one",datname="litellm"}': "30x200",
    'pg_stat_database_numbackends{service="postgres",host="one",datname="postgres"}': "2x200",
    'pg_settings_max_connections{service="postgres",host="one"}': "100x200",
    'redis_up{service="redis",host="one"}': "1x200",
    'redis_up{service="redis_sentinel",host="one"}': "1x200",
    QUORUM % "OK": "1x200",
    LEADER: "1x200",
    CHANGES: "3x200",
    'probe_success{service="blackbox_exporter",job="certificates",instance="a:443"}': "0x200",
    'probe_ssl_earliest_cert_expiry{job="certificates",instance="b:443"}': f"{60 * DAY}x200",
    AUTHORITY: f"{400 * DAY}x200",
    QUEUE[0] % "one": "0x200",
    QUEUE[0] % "busy": " ".join(["40 0 900 30"] * 50),
    QUEUE[1] % "one": "9000-20x200",  # it catches up
    DROPPED: "3x200",
    'mcp_gateway_requests_total{service="gateway",host="one",status="ok"}': "0+15x200",
    'mcp_gateway_requests_total{service="gateway",host="one",status="error"}': "0x200",
    'mcp_gateway_request_seconds_bucket{service="gateway",server="wiki",le="1"}': "0+15x200",
    'mcp_gateway_request_seconds_bucket{service="gateway",server="wiki",le="60"}': "0+15x200",
    'mcp_gateway_request_seconds_bucket{service="gateway",server="wiki",le="+Inf"}': "0+15x200",
    'haproxy_backend_http_responses_total{proxy="litellm",code="2xx"}': "0+15x200",
    'haproxy_backend_http_responses_total{proxy="litellm",code="5xx"}': "0x200",
    'traefik_service_requests_total{exported_service="litellm@file",code="200"}': "0+15x200",
    UPSTREAM: "1x200",
    'mcp_gateway_config_reloads_total{service="gateway",host="one",outcome="done"}': "0+1x200",
    LOST: "0x200",
    'alertmanager_notifications_failed_total{service="alertmanager",integration="email"}': "0x200",
    'patroni_xlog_location{service="patroni",host="one"}': f"{10 * MIB}+1000x200",
    'patroni_xlog_location{service="patroni",host="two"}': "0x200",
    'patroni_xlog_replayed_location{service="patroni",host="one"}': "0x200",
    'patroni_xlog_replayed_location{service="patroni",host="two"}': f"{9 * MIB}+1000x200",
    'redis_master_link_up{service="redis",host="two"}': "1x200",
    'node_memory_MemTotal_bytes{service="node_exporter",host="one"}': "1000x200",
    'node_memory_MemAvailable_bytes{service="node_exporter",host="one"}': "400x200",
    'node_vmstat_oom_kill{service="node_exporter",host="one"}': "3x200",
    CLOCK: "0+15x200",
    BACKUP: "0x200",
    'ollama_up{service="ollama",host="one"}': "1x200",
    'ollama_model_present{service="ollama",host="one",model="m"}': "1x200",
    'ollama_kept_model_loaded{service="ollama",host="one",model="m"}': "1x200",
    'ollama_loaded_model_off_gpu{service="ollama",host="one",model="m"}': "0x200",
    FIRST_TOKEN % "1": "0+15x200",
    FIRST_TOKEN % "120": "0+15x200",
    FIRST_TOKEN % "+Inf": "0+15x200",
    ADDED % "1": "0+15x200",
    ADDED % "2": "0+15x200",
    ADDED % "5": "0+15x200",
    ADDED % "+Inf": "0+15x200",
    PROBED: "0.1x200",
    PROBED.replace("duration_seconds", "success"): "1x200",
    'litellm_in_flight_requests{service="litellm",host="one"}': "4x200",
    'litellm_proxy_total_requests_metric_total{service="litellm"}': "0+15x200",
    LITELLM_FAILED % "500": "0x200",
    LITELLM_FAILED % "422": "0+15x200",  # a budget that is spent is nobody's fault
    'process_resident_memory_bytes{service="litellm",host="one"}': f"{1000 * MIB}x200",
    BUDGET % ("remaining_team", "team"): "40x200",
    BUDGET % ("team_max", "team"): "100x200",
    BUDGET % ("remaining_team", "free"): " ".join(["Inf"] * 200),
    BUDGET % ("team_max", "free"): " ".join(["Inf"] * 200),
    KEY_LEFT: "40x200",
    KEY_BUDGET: "100x200",
    'node_filesystem_size_bytes{service="node_exporter",host="one",mountpoint="/"}': "1000000x200",
    'node_filesystem_avail_bytes{service="node_exporter",host="one",mountpoint="/"}': "300000x200",
}
# Name of the alert: what differs, and the minute in which it fires. None takes a series out.
GATEWAY_STATUS = 'mcp_gateway_requests_total{service="gateway",host="one",status="%s"}'
BUCKET = 'mcp_gateway_request_seconds_bucket{service="gateway",server="wiki",le="%s"}'
HAPROXY = 'haproxy_backend_http_responses_total{proxy="litellm",code="5xx"}'
TRAEFIK = 'traefik_service_requests_total{exported_service="litellm@file",code="%s"}'
DRIFT = 'mcp_gateway_tool_drift_total{service="gateway",host="one",server="wiki"}'
REFUSED = 'mcp_gateway_config_reloads_total{service="gateway",host="one",outcome="refused"}'
BACKENDS = 'pg_stat_database_numbackends{service="postgres",host="one",datname="litellm"}'
PROBE = 'probe_success{service="gateway",host="one",instance="http://one:8080/ready"}'
CERTIFICATE = 'probe_ssl_earliest_cert_expiry{service="load_balancer",host="one"}'
DISK = 'node_filesystem_avail_bytes{service="node_exporter",host="one",mountpoint="/"}'
NOTIFIED = 'alertmanager_notifications_failed_total{service="alertmanager",integration="email"}'
MODEL = 'ollama_%s{service="ollama",host="one",model="m"}'
MEMORY = 'process_resident_memory_bytes{service="litellm",host="one"}'
BROKEN = [
    ("TargetDown", {'up{service="redis",host="one",job="redis"}': "1x40 0x160"}, 12),
    (
        "ServiceNotReady",
        {PROBE: "0x200"},
        4,
    ),
    ("CertificateExpires", {CERTIFICATE: f"{20 * DAY}x200"}, 7),
    (
        "CertificateExpires",
        {'probe_ssl_earliest_cert_expiry{job="certificates",instance="b:443"}': f"{DAY}x200"},
        7,
    ),
    ("ServiceRestarts", {STARTED: "1x40 2x20 3x20 4x120"}, 22),
    ("AuthorityExpires", {AUTHORITY: f"{80 * DAY}x200"}, 7),
    ("LogsWaitForCollector", {QUEUE[0] % "one": "0x40 5x160"}, 27),
    ("LogsWaitForSiem", {QUEUE[1] % "one": "_x40 1+1x160"}, 27),
    ("LogLinesDropped", {DROPPED: "3x40 9x160"}, 12),
    ("EtcdNoLeader", {LEADER: "0x200"}, 2),
    ("EtcdUnsteady", {CHANGES: "3x20 4x4 5x4 6x4 7x4 8x164"}, 12),
    ("SentinelDown", {'redis_up{service="redis_sentinel",host="one"}': "0x200"}, 2),
    ("SentinelNoQuorum", {QUORUM % "OK": "1x20 stale", QUORUM % "NOQUORUM": "_x21 0x170"}, 9),
    ("DiskNearlyFull", {DISK: "40000x200"}, 12),
    ("PostgresDown", {'pg_up{service="postgres",host="one"}': "0x200"}, 2),
    ("PostgresNoPrimary", {'patroni_primary{service="patroni",host="one"}': "0x200"}, 2),
    ("DatabaseConnections", {BACKENDS: "79x200"}, 7),
    ("RedisDown", {'redis_up{service="redis",host="one"}': "0x200"}, 2),
    ("GatewayErrors", {GATEWAY_STATUS % "error": "0+1x200"}, 12),
    ("GatewaySlow", {BUCKET % "1": "0+10x200"}, 17),
    ("BalancerErrors", {HAPROXY: "0+1x200"}, 12),
    ("BalancerErrors", {TRAEFIK % "502": "0+1x200"}, 12),
    ("BalancerSlow", {PROBED: " ".join((["0.1"] * 9 + ["1.5"]) * 20)}, 25),
    (
        "ToolServerDown",
        {UPSTREAM: "0x200"},
        2,
    ),
    # The series begins with the first change.
    ("ToolDrift", {DRIFT: "_x40 1x160"}, 12),
    ("ToolDrift", {DRIFT: "1x40 2x160"}, 12),
    ("GatewayConfigurationRefused", {REFUSED: "_x40 1x160"}, 12),
    (
        "AuditLinesLost",
        {LOST: "0x40 5x160"},
        12,
    ),
    ("NotificationsFail", {NOTIFIED: "0+1x200"}, 8),
    (
        "PostgresReplicaBehind",
        {'patroni_xlog_location{service="patroni",host="one"}': f"{30 * MIB}+1000x200"},
        7,
    ),
    ("RedisReplicaCut", {'redis_master_link_up{service="redis",host="two"}': "0x200"}, 3),
    (
        "MemoryShort",
        {'node_memory_MemAvailable_bytes{service="node_exporter",host="one"}': "40x200"},
        12,
    ),
    (
        "KilledForMemory",
        {'node_vmstat_oom_kill{service="node_exporter",host="one"}': "3x40 4x160"},
        12,
    ),
    ("ClockOff", {CLOCK: "90+15x200"}, 7),
    ("OllamaDown", {'ollama_up{service="ollama",host="one"}': "0x200"}, 2),
    ("ModelMissing", {MODEL % "model_present": "0x200"}, 7),
    ("ModelNotLoaded", {MODEL % "kept_model_loaded": "0x200"}, 12),
    ("ModelOffGpu", {MODEL % "loaded_model_off_gpu": "1x200"}, 4),
    ("FirstTokenSlow", {FIRST_TOKEN % "1": "0+10x200"}, 25),
    ("LitellmSlow", {ADDED % "1": "0+13x200", ADDED % "2": "0+13x200"}, 25),
    (
        "RequestsWait",
        {'litellm_in_flight_requests{service="litellm",host="one"}': "40x200"},
        7,
    ),
    ("LitellmErrors", {LITELLM_FAILED % "500": "0+1x200"}, 12),
    ("LitellmMemory", {MEMORY: f"{1900 * MIB}x200"}, 40),
    ("TeamBudget", {BUDGET % ("remaining_team", "team"): "9x200"}, 7),
    ("KeyBudget", {KEY_LEFT: "9x200"}, 7),
]
# What takes hours to see: a value every five minutes. Between two, both workers would answer.
SLOW = "5m"
SELDOM = {CLOCK: None, WORKERS: "1x200", BACKUP: "0+300x200"}
GROWING = {MEMORY: f"{1250 * MIB}+{3 * MIB}x200", **SELDOM}
FILLING = {DISK: "390000-400x200", **SELDOM}
HOURS_OF_TROUBLE = [
    ("LitellmMemory", GROWING, 360),
    ("DiskFull", FILLING, 330),
    # The last one is four hours old, there never was one, and its time is in milliseconds.
    ("BackupTooOld", {**SELDOM, BACKUP: "0x200"}, 256),
    ("BackupTooOld", {**SELDOM, BACKUP: None}, 256),
    ("BackupTooOld", {**SELDOM, BACKUP: f"{10**12}x200"}, 256),
]
# Each rule once more, just below its limit, where nothing is even pending, or just before the limit
# has been passed for long enough: then the name says what is pending.
DOWN, UP = "1x40 0x160", "0x40 1x160"  # from the tenth minute on
NEARLY = {
    "TargetDown": ({'up{service="redis",host="one",job="redis"}': DOWN}, 11, "TargetDown"),
    "ServiceNotReady": ({PROBE: DOWN}, 13, "ServiceNotReady"),
    "ServiceRestarts": ({STARTED: "1x40 2x20 3x140"}, 22),
    "CertificateExpires": ({CERTIFICATE: f"{21 * DAY + 1800}x200"}, 29),
    "AuthorityExpires": ({AUTHORITY: f"{90 * DAY + 1800}x200"}, 29),
    "LogsWaitForCollector": ({QUEUE[0] % "one": "0x40 5x160"}, 25, "LogsWaitForCollector"),
    "LogsWaitForSiem": ({QUEUE[1] % "one": "0x40 1+1x160"}, 25, "LogsWaitForSiem"),
    "LogLinesDropped": ({DROPPED: "3x20 9x180"}, 16),
    "EtcdNoLeader": ({LEADER: DOWN}, 11, "EtcdNoLeader"),
    "EtcdUnsteady": ({CHANGES: "3x20 4x4 5x4 6x172"}, 12),
    "SentinelDown": ({'redis_up{service="redis_sentinel",host="one"}': DOWN}, 11, "SentinelDown"),
    "SentinelNoQuorum": (
        {QUORUM % "OK": "1x40 stale", QUORUM % "NOQUORUM": "_x41 0x160"},
        12,
        "SentinelNoQuorum",
    ),
    "DiskNearlyFull": ({DISK: "50000x200"}, 29),
    "PostgresDown": ({'pg_up{service="postgres",host="one"}': DOWN}, 11, "PostgresDown"),
    "PostgresNoPrimary": (
        {'patroni_primary{service="patroni",host="one"}': DOWN},
        11,
        "PostgresNoPrimary",
    ),
    "DatabaseConnections": ({BACKENDS: "78x200"}, 29),
    "RedisDown": ({'redis_up{service="redis",host="one"}': DOWN}, 11, "RedisDown"),
    "GatewayErrors": ({GATEWAY_STATUS % "error": "0+0.78x200"}, 29),
    "GatewaySlow": ({BUCKET % "1": "0+13.55x200"}, 40),
    "BalancerErrors": ({HAPROXY: "0+0.78x200", TRAEFIK % "502": "0+0.78x200"}, 29),
    "BalancerSlow": ({PROBED: "1x200"}, 29),
    "ToolServerDown": ({UPSTREAM: DOWN}, 11, "ToolServerDown"),
    "ToolDrift": ({DRIFT: "1x260"}, 61),
    "GatewayConfigurationRefused": ({REFUSED: "1x200"}, 16),
    "AuditLinesLost": ({LOST: "0x20 5x180"}, 16),
    "NotificationsFail": ({NOTIFIED: UP}, 15, "NotificationsFail"),
    "PostgresReplicaBehind": (
        {'patroni_xlog_location{service="patroni",host="one"}': f"{25 * MIB}+1000x200"},
        29,
    ),
    "RedisReplicaCut": (
        {'redis_master_link_up{service="redis",host="two"}': DOWN},
        12,
        "RedisReplicaCut",
    ),
    "MemoryShort": (
        {'node_memory_MemAvailable_bytes{service="node_exporter",host="one"}': "50x200"},
        29,
    ),
    "KilledForMemory": (
        {'node_vmstat_oom_kill{service="node_exporter",host="one"}': "3x20 4x180"},
        16,
    ),
    "ClockOff": ({CLOCK: "60+15x200"}, 29),
    "OllamaDown": ({'ollama_up{service="ollama",host="one"}': DOWN}, 11, "OllamaDown"),
    "ModelMissing": ({MODEL % "model_present": DOWN}, 15, "ModelMissing"),
    "ModelNotLoaded": ({MODEL % "kept_model_loaded": DOWN}, 20, "ModelNotLoaded"),
    "ModelOffGpu": ({MODEL % "loaded_model_off_gpu": UP}, 12, "ModelOffGpu"),
    "FirstTokenSlow": ({FIRST_TOKEN % "1": "0+13.55x200"}, 40),
    "LitellmSlow": ({ADDED % "1": "0+14.3x200", ADDED % "2": "0+14.3x200"}, 40),
    "RequestsWait": ({'litellm_in_flight_requests{service="litellm",host="one"}': "32x200"}, 29),
    "LitellmErrors": ({LITELLM_FAILED % "500": "0+0.74x200"}, 29),
    "LitellmMemory": ({MEMORY: f"{1843 * MIB}x200"}, 29),
    "TeamBudget": ({BUDGET % ("remaining_team", "team"): "10x200"}, 29),
    "KeyBudget": ({KEY_LEFT: "10x200"}, 29),
}
NEARLY_AFTER_HOURS = {
    "DiskFull": ({**SELDOM, DISK: "390000-300x200"}, 330),
    "BackupTooOld": ({**SELDOM, BACKUP: "0x200"}, 255, "BackupTooOld"),
}
# What looks like trouble and is none.
QUIET = [
    ("one scrape that fails", {'up{service="redis",host="one",job="redis"}': "1x40 0 1x159"}, 11),
    (
        "a service that restarts",
        {PROBE: "1x40 0x10 1x150"},
        12,
    ),
    ("a certificate for a month", {CERTIFICATE: f"{30 * DAY}x200"}, 29),
    ("an etcd that chose another leader", {CHANGES: "3x20 4x180"}, 12),
    ("a model that answers slowly now and then", {FIRST_TOKEN % "1": "0+14.5x200"}, 40),
    ("a budget that is half spent", {KEY_LEFT: "50x200"}, 20),
    (
        "no cluster",
        {f'patroni_primary{{service="patroni",host="{h}"}}': None for h in ("one", "two")},
        29,
    ),
    (
        "one error where nobody works",
        {GATEWAY_STATUS % "ok": "0x200", GATEWAY_STATUS % "error": "0x40 1x160"},
        11,
    ),
    ("few errors", {GATEWAY_STATUS % "error": "0+1x200", GATEWAY_STATUS % "ok": "0+30x200"}, 29),
    ("one slow call in thirty", {BUCKET % "1": "0+29x200", BUCKET % "60": "0+30x200",
                                 BUCKET % "+Inf": "0+30x200"}, 29),
]  # fmt: skip
GREW_ONCE = {MEMORY: f"{1000 * MIB}x20 {1300 * MIB}x180", **SELDOM}
FILLING_SLOWLY = {DISK: "300000-20x200", **SELDOM}
FILLED_AT_ONCE = {DISK: "600000x30 600000-50000x6 300000x160", **SELDOM}
DEPLOYED = {DISK: "600000-50000x6 300000x190", **SELDOM}
COUNTERS = {
    "haproxy": "haproxy_backend_http_responses_total{",
    "traefik": "traefik_service_requests_total{",
}
HOURS_OF_QUIET = {
    "a LiteLLM that grew once": GREW_ONCE,
    "a disk that fills up in two months": FILLING_SLOWLY,
    "a model that is pulled": FILLED_AT_ONCE,
    "a platform that is deployed": DEPLOYED,
    "a backup every four hours": {**SELDOM, BACKUP: "0x47 14400x47 28800x104"},
    # Who made the last one is away for an hour.
    "a backup on a host that restarts": {**SELDOM, BACKUP: "0x30 _x12 10000x30 20000x120"},
}
BOUNDS = ("error_percent", "p95_seconds", "certificate_days", "connections_percent")
BOUNDS += ("authority_days", "balancer_p95_seconds", "litellm_p95_seconds")
BOUNDS += ("first_token_seconds", "requests_in_flight", "budget_percent", "clock_skew_seconds")


def settings() -> dict:
    """Return what the role gives to the rules."""
    roles = support.REPOSITORY / "roles"
    defaults = yaml.safe_load((roles / "prometheus/defaults/main.yml").read_text())
    defaults |= yaml.safe_load((roles / "platform/defaults/main/main.yml").read_text())
    # Some are those of the whole platform, unless said.
    defaults = {name.partition("_")[2]: value for name, value in defaults.items()}
    own = {name: defaults[name] for name in BOUNDS}
    return {"prefix": "net-", "litellm_memory_mb": 2048, "backup_hours": 4, **own}


def case(
    name: str,
    changed: dict,
    minutes: int | tuple[int, ...],
    alert: str = "",
    interval: str = "15s",
    state="firing",
) -> dict:
    """One test of promtool: which alert is in this state in some minutes, besides the watchdog.

    No other is, and where the state is `pending`, none fires, either.
    """
    minutes = (minutes,) if isinstance(minutes, int) else minutes
    series = {name: values for name, values in (HEALTHY | changed).items() if values}
    states = "firing" if state == "firing" else "firing|pending"
    counted = (
        f'count by (alertname, alertstate) (ALERTS{{alertstate=~"{states}",alertname!="Watchdog"}})'
    )
    labels = f'{{alertname="{alert}", alertstate="{state}"}}'
    expected = [{"labels": labels, "value": 1}] if alert else []
    return {
        "name": name,
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": expr, "eval_time": f"{minute}m", "exp_samples": samples}
            for minute in minutes
            for expr, samples in (
                (counted, expected),
                (
                    'count(ALERTS{alertname="Watchdog",alertstate="firing"})',
                    [{"labels": "{}", "value": 1}],
                ),
            )
        ],
    }


def promtool(folder, *arguments: str) -> subprocess.CompletedProcess:
    place = f"--volume={folder}:/rules:ro"
    command = ["docker", "run", "--rm", "--network=none", place, image("prometheus"), "promtool"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


def evaluated(folder, cases: list[dict]) -> subprocess.CompletedProcess:
    """Run promtool's tests of the rules as the role writes them.

    Rules are evaluated as often as values come, but at least once a minute: hours take long.
    """
    folder.chmod(0o755)
    (folder / "rules.yml").write_text(rules.rules(settings(), {}))
    by_interval = {"15s": []}
    for one in cases:
        by_interval.setdefault(one["interval"], []).append(one)
    for interval, tests in by_interval.items():
        every = "1m" if interval == SLOW else interval
        made = {"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": tests}
        (folder / f"{interval}.yml").write_text(json.dumps(made))
    files = [f"/rules/{interval}.yml" for interval in by_interval]
    return promtool(folder, "test", "rules", *files)


def test_each_rule_fires_alone_when_it_has_to(tmp_path):
    made = [
        case(f"{name} {number}", changed, minute, name)
        for number, (name, changed, minute) in enumerate(BROKEN)
    ]
    made += [
        case(f"{name} after hours {number}", changed, minute, name, SLOW)
        for number, (name, changed, minute) in enumerate(HOURS_OF_TROUBLE)
    ]
    done = evaluated(tmp_path, made)
    assert done.returncode == 0, done.stdout + done.stderr
    known = {rule.name for group in rules.GROUPS.values() for rule in group}
    tested = {name for name, *_ in BROKEN + HOURS_OF_TROUBLE}
    assert tested == known - {"Watchdog"}, "a rule without a test"


def test_each_rule_is_silent_just_below_its_limit(tmp_path):
    made = [
        case(name, changed, minute, *how, state="pending")
        for name, (changed, minute, *how) in NEARLY.items()
    ]
    made += [
        case(name, changed, minute, *how, interval=SLOW, state="pending")
        for name, (changed, minute, *how) in NEARLY_AFTER_HOURS.items()
    ]
    done = evaluated(tmp_path, made)
    assert done.returncode == 0, done.stdout + done.stderr
    known = {rule.name for group in rules.GROUPS.values() for rule in group}
    assert {*NEARLY, *NEARLY_AFTER_HOURS} == known - {"Watchdog"}, "a rule without its limit"


def test_no_rule_fires_for_what_is_no_trouble(tmp_path):
    healthy = [case("healthy", {}, (1, 10, 29))]
    for name, changed in HOURS_OF_QUIET.items():
        healthy.append(case(name, changed, (90, 200, 270, 330, 480), interval=SLOW))
    done = evaluated(tmp_path, healthy + [case(*quiet) for quiet in QUIET])
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong(tmp_path):
    assert evaluated(tmp_path, []).returncode == 0
    checked = promtool(tmp_path, "check", "rules", "--lint=all", "--lint-fatal", "/rules/rules.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_rule_that_does_not_fire_fails_its_test(tmp_path):
    done = evaluated(tmp_path, [case("nothing is wrong", {}, 10, "RedisDown")])
    assert done.returncode != 0
    assert "RedisDown" in done.stdout + done.stderr


def test_each_balancer_counts_what_the_rules_ask_for(start_balancer, replicas):
    balancer = start_balancer(replicas)
    assert balancer.get()[0] == 200
    url = f"http://{balancer.docker.address(balancer.container, PORTS['metrics'])}/metrics"

    def counted():
        with urllib.request.urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return [line for line in lines if line.startswith(COUNTERS[balancer.engine.name])]

    found = wait_until(counted, 20, "its counter of answers")
    # Prometheus has a label `service` of its own, so that of Traefik becomes exported_service.
    assert all(re.search(r'(proxy|service)="', line) for line in found)
    assert any(re.search(r'code="(2xx|200)"', line) for line in found)
