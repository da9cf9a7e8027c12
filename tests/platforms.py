# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Platforms for unit tests: the deployed catalog over groups of hosts."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import build_services
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology

ROOT = Path(__file__).resolve().parents[1]
MCP_SERVERS = {
    "browser": {"port": 8103, "egress": ["10.1.2.0/24"]},
    "example": {"port": 8104},
    "wiki": {"url": "https://wiki.example.internal/mcp"},
}
GROUPS = ("postgres", "redis", "ollama", "litellm", "gateway", "tool_servers")
LIGHT = {group: ["one"] for group in GROUPS}
SPREAD = {
    "load_balancer": ["lb"],
    "litellm": ["app1", "app2"],
    "gateway": ["app1", "app2"],
    "tool_servers": ["app1"],
    "postgres": ["data"],
    "redis": ["data"],
    "ollama": ["data"],
}
CLUSTERS = {**SPREAD, "postgres": ["app1", "app2", "data"], "redis": ["app1", "app2", "data"]}


def catalog(groups, with_pages=False):
    """Return the catalog with the ports that its templates stand for.

    with_pages: whether platform_monitoring_networks opens the monitoring's pages.
    """
    text = (ROOT / "roles/platform/defaults/main/main.yml").read_text()
    defaults = {**yaml.safe_load(text), "platform_balancer_port": 443}
    clusters = {name: len(groups.get(name, [])) > 1 for name in ("postgres", "redis")}
    for entry in defaults["platform_services"].values():
        if isinstance(entry.get("port"), str):
            entry["port"] = defaults[re.search(r"platform_\w+_port", entry["port"])[0]]
        enabled = str(entry.get("enabled", ""))
        of_cluster = re.search(r"__platform_(\w+)_cluster", enabled)
        entry["enabled"] = clusters[of_cluster[1]] if of_cluster else True
        if "__platform_is_watched" in enabled or "__platform_keeps_logs" in enabled:
            entry["enabled"] = entry["enabled"] and bool(groups.get("monitoring"))
        if "platform_monitoring_networks" in enabled:
            entry["enabled"] = entry["enabled"] and with_pages
        if "__platform_ollama_egress" in str(entry.get("egress", "")):
            entry["egress"] = ["any"]
        if "__platform_siem" in str(entry.get("egress", "")):
            entry["egress"] = ["siem.example.internal:6514"]
    return defaults["platform_services"]


def topology(groups, **settings):
    """Return a platform with the deployed catalog; settings are further fields of Topology."""
    hosts = sorted({host for names in groups.values() for host in names})
    return Topology(
        services=build_services(
            catalog(groups, with_pages=bool(settings.get("remote_operators"))), MCP_SERVERS
        ),
        groups=groups,
        addresses={host: [f"192.0.2.{n}"] for n, host in enumerate(hosts, 1)},
        network="net",
        **settings,
    )
