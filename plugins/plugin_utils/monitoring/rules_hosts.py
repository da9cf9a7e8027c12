# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Alert rules about hosts and their data."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rule import (
    WARNING,
    Rule,
)

ROOM = "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"
BACKUP = "intranet_backup_finished_timestamp_seconds"
# Whoever makes backups writes it on any host; one that is away for a moment makes none too old. 0
# where none was ever reported, or what was reported is no time that has passed: milliseconds, say.
LAST_BACKUP = f"(max(last_over_time({BACKUP}[<backup_hours>h]) <= time()) or vector(0))"
# Of what the primary wrote. Patroni says 0 of one that does not follow.
BEHIND = "(scalar(max(patroni_xlog_location)) - patroni_xlog_replayed_location) / 2^20"
AVAILABLE = "node_filesystem_avail_bytes"
FREE = f"{AVAILABLE} / node_filesystem_size_bytes"
PACE = f"predict_linear({AVAILABLE}[%s], 4 * 86400) < 0"
PLACES = (
    "{{ $labels.mountpoint }} is / for the engine's disk and /data for that of platform_data_dir."
)
ROOM_ON_DISK = (
    "make room (old images with docker image prune, models no longer used, backups) or mount a "
    "larger disk there; nothing is deleted for you, and doctor_disk_reserve_mb sets the least"
)
HOSTS = (
    Rule(
        "DiskFull",
        # A deployment, or a model that is pulled, takes much at once: no pace until it has lasted.
        f"{PACE % '6h'} and {PACE % '1h'} and {FREE} < 0.4 and {AVAILABLE} offset 3h",
        "2h",
        "A disk of {{ $labels.host }} is full within four days",
        f"At its present pace. {PLACES}",
        doctor=ROOM_ON_DISK,
        severity=WARNING,
    ),
    Rule(
        "DiskNearlyFull",
        f"100 * {FREE} < 5",
        "10m",
        "A disk of {{ $labels.host }} is nearly full",
        f"{{{{ $value | printf `%.1f` }}}} % are left. {PLACES}",
        doctor=ROOM_ON_DISK,
        severity=WARNING,
    ),
    Rule(
        "MemoryShort",
        f"100 * {ROOM} < 5",
        "10m",
        "{{ $labels.host }} runs out of memory",
        "{{ $value | printf `%.1f` }} % are available, expected at least 5 %.",
        action="move a service to another host, lower ollama_max_loaded_models, or add memory",
        severity=WARNING,
    ),
    Rule(
        "KilledForMemory",
        "increase(node_vmstat_oom_kill[10m]) > 0",
        "0m",
        "The kernel of {{ $labels.host }} killed a program for memory",
        "A container reached its limit, or the host has no memory left.",
        action="see which it was, and raise its memory limit",
        severity=WARNING,
    ),
    Rule(
        "ClockOff",
        "abs(node_time_seconds - timestamp(node_time_seconds)) > <clock_skew_seconds>",
        "5m",
        "The clock of {{ $labels.host }} is off that of the monitoring's host",
        "It is {{ $value | printf `%.0f` }} s off, expected at most <clock_skew_seconds> s. "
        "Tokens, certificates and clusters depend on it.",
        doctor="synchronise it: systemctl enable --now chrony or systemd-timesyncd, with a server "
        "that this network reaches",
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
        "EtcdNoLeader",
        "etcd_server_has_leader == 0",
        "1m",
        "etcd on {{ $labels.host }} has no leader",
        "Without a majority of its members no PostgreSQL can become the primary.",
        doctor="start etcd on the other hosts; check the firewall between them "
        "(playbooks/flows.yml)",
    ),
    Rule(
        "EtcdUnsteady",
        # Rounded, as Prometheus extrapolates: three changes are seen as 3.03.
        "round(increase(etcd_server_leader_changes_seen_total[30m])) > 3",
        "0m",
        "etcd on {{ $labels.host }} changes its leader again and again",
        "{{ $value | printf `%.0f` }} times in half an hour. Each time PostgreSQL's members wait, "
        "and may change their primary.",
        action="see what keeps the disks of etcd's hosts busy, and whether their network loses "
        "packets",
        severity=WARNING,
    ),
    Rule(
        "PostgresReplicaBehind",
        f"{BEHIND} > 16 and patroni_primary == 0",
        "5m",
        "PostgreSQL on {{ $labels.host }} does not keep up with the primary",
        "It is {{ $value | printf `%.0f` }} MiB behind, expected at most 16 MiB.",
        doctor="read docker logs <prefix>postgres on its host; a member that cannot catch up is "
        "copied again: docker exec <prefix>postgres patronictl -c /secrets/patroni.yml reinit "
        "postgres {{ $labels.host }}",
        severity=WARNING,
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
        "BackupTooOld",
        f"(time() - {LAST_BACKUP}) / 3600 > <backup_hours>",
        "15m",
        "PostgreSQL has not been backed up for more than <backup_hours> h",
        "No host reports a backup that succeeded in that time. People, teams, keys and budgets are "
        "nowhere else.",
        action="read why the last backup failed, make one, and have whatever makes it write "
        "backup.prom when it succeeded, and only then",
        only_with="backup_hours",
    ),
    Rule(
        "RedisDown",
        'redis_up{service="redis"} == 0',
        "1m",
        "Redis on {{ $labels.host }} does not serve",
        "Its exporter cannot log in. Replicas share no rate limits and no news of revoked keys.",
        doctor="docker logs <prefix>redis; a wrong password: run the playbook",
    ),
    Rule(
        "SentinelDown",
        'redis_up{service="redis_sentinel"} == 0',
        "1m",
        "Sentinel on {{ $labels.host }} does not serve",
        "Should Redis's primary fail now, the others have to agree on the next one without it.",
        doctor="start Redis and Sentinel where they are missing, and read their logs",
        severity=WARNING,
    ),
    Rule(
        "SentinelNoQuorum",
        "max by (service, host) (redis_sentinel_master_ckquorum_status) == 0",
        "2m",
        "Sentinel on {{ $labels.host }} sees no majority",
        "Should Redis's primary fail now, no other would take its place.",
        doctor="start Redis and Sentinel on the other hosts: choosing another takes a majority",
    ),
    Rule(
        "RedisReplicaCut",
        "redis_master_link_up == 0",
        "2m",
        "Redis on {{ $labels.host }} does not follow its primary",
        "Should the primary fail now, this replica has old data.",
        doctor="read docker logs <prefix>redis on this host and on the others",
        severity=WARNING,
    ),
)
