# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Panels of hosts, databases and the monitoring itself. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panel import (
    BYTES,
    COUNT,
    LINES,
    PERCENT,
    RATE,
    SECONDS,
    STATES,
    TABLE,
    Panel,
    Query,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rules_hosts import BACKUP

CPU = '100 * (1 - avg by (host) (rate(node_cpu_seconds_total{mode="idle"}[%s])))'
MEMORY = "100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)"
DISK = "100 * (1 - node_filesystem_avail_bytes / node_filesystem_size_bytes)"

HOSTS = {
    "hosts": Panel(
        "Hosts",
        TABLE,
        PERCENT,
        (
            Query(CPU % "<span>", "CPU"),
            Query(f"max by (host) ({MEMORY})", "Memory"),
            Query(f"max by (host) ({DISK})", "Disk"),
        ),
        about="CPU on average; memory and the fullest disk now.",
        rows=("host",),
    ),
    "cpu": Panel("CPU", LINES, PERCENT, (Query(CPU % "<rate>", "{{host}}"),)),
    "host_memory": Panel(
        "Memory", LINES, PERCENT, (Query(f"max by (host) ({MEMORY})", "{{host}}"),)
    ),
    "disks": Panel(
        "Disks",
        LINES,
        PERCENT,
        (Query(f"max by (host, mountpoint) ({DISK})", "{{host}} {{mountpoint}}"),),
        about="/ is the engine's, /data that of platform_data_dir.",
    ),
    "service_memory": Panel(
        "Memory of services",
        LINES,
        BYTES,
        (Query("max by (service, host) (process_resident_memory_bytes)", "{{service}} {{host}}"),),
        about="Of those that tell it.",
    ),
    "service_cpu": Panel(
        "CPU of services",
        LINES,
        PERCENT,
        (
            Query(
                "100 * sum by (service, host) (rate(process_cpu_seconds_total[<rate>]))",
                "{{service}} {{host}}",
            ),
        ),
        about="Of those that tell it; 100 % is one core.",
    ),
    "services": Panel(
        "Services",
        STATES,
        COUNT,
        (
            Query(
                'min by (service, host) (probe_success{service!="",job!="certificates"})',
                "{{service}} {{host}}",
            ),
            Query('min by (service, host) (pg_up{service="postgres"})', "{{service}} {{host}}"),
            Query('min by (service, host) (redis_up{service="redis"})', "{{service}} {{host}}"),
        ),
        about="Whether each is ready.",
    ),
    "connections": Panel(
        "Connections to PostgreSQL",
        LINES,
        PERCENT,
        (
            Query(
                '100 * sum by (host) (pg_stat_database_numbackends{service="postgres"})'
                ' / sum by (host) (pg_settings_max_connections{service="postgres"})',
                "{{host}}",
            ),
        ),
        about="Of those that it accepts.",
    ),
    "transactions": Panel(
        "Transactions of PostgreSQL",
        LINES,
        RATE,
        (
            Query(
                'sum by (host, datname) (rate(pg_stat_database_xact_commit{datname!~"template.*|"}'
                "[<rate>]))",
                "{{host}} {{datname}}",
            ),
        ),
    ),
    "databases": Panel(
        "Databases",
        LINES,
        BYTES,
        (
            Query(
                'max by (host, datname) (pg_database_size_bytes{datname!~"template.*"})',
                "{{host}} {{datname}}",
            ),
        ),
    ),
    "backup": Panel(
        "Time since the last backup",
        LINES,
        SECONDS,
        (Query(f"time() - max by (host) ({BACKUP})", "{{host}}"),),
        about="Of PostgreSQL, as far as whoever makes it reports it.",
    ),
    "redis": Panel(
        "Memory of Redis",
        LINES,
        BYTES,
        (Query('max by (host) (redis_memory_used_bytes{service="redis"})', "{{host}}"),),
    ),
    "redis_commands": Panel(
        "Commands of Redis",
        LINES,
        RATE,
        (
            Query(
                'sum by (host) (rate(redis_commands_processed_total{service="redis"}[<rate>]))',
                "{{host}}",
            ),
        ),
    ),
    "scrapes": Panel(
        "Time to read a target",
        LINES,
        SECONDS,
        (Query("max by (job) (scrape_duration_seconds)", "{{job}}"),),
        about="Of the monitoring itself.",
    ),
    "measurements": Panel(
        "Disk of measurements",
        LINES,
        BYTES,
        (
            Query(
                "max by (host) (prometheus_tsdb_storage_blocks_bytes"
                " + prometheus_tsdb_head_chunks_storage_size_bytes)",
                "{{host}}",
            ),
        ),
    ),
}
