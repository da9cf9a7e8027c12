# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What of the inventory makes no monitoring. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import (
    BALANCER,
    MONITORING,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import (
    alertmanager,
    logs,
)

# What makes no sense without a Prometheus.
NEED_PROMETHEUS = {"grafana": "Grafana shows", "dcgm_exporter": "reads it"}


def problems(
    groups: dict[str, list], pages: dict, receivers: list[dict], siem: dict
) -> list[Finding]:
    """groups: inventory group -> hosts. pages: networks (who may open them) and tls. receivers: who
    gets alerts. siem: who gets logs, empty for nobody.
    """
    refused = [*alertmanager.refused(receivers), *_siem(siem)]
    return [
        *_hosts(groups),
        *_pages(groups, **pages),
        *(Finding.of("inventory", error) for error in refused),
    ]


def _siem(siem: dict) -> Iterator[logs.SiemError]:
    try:
        if siem:
            logs.check(siem)
    except logs.SiemError as error:
        yield error


def _pages(groups: dict[str, list], networks: list[str], tls: bool) -> list[Finding]:
    """What keeps pages from operators who are to have them."""
    if not networks:
        return []
    found = [
        Finding(
            "inventory",
            f"platform_monitoring_networks has the network {network!r}",
            "networks like 10.1.2.0/24",
            "correct platform_monitoring_networks",
        )
        for network in networks
        if not _is_network(network)
    ]
    for group in (MONITORING, BALANCER):
        if not groups.get(group):
            found.append(
                Finding(
                    "inventory",
                    f"platform_monitoring_networks is set, and group {group} has no host",
                    f"a host in group {group}",
                    f"put a host into group {group}, or leave platform_monitoring_networks empty: "
                    "with ssh -L operators have the pages anyway",
                )
            )
    if not tls:
        found.append(
            Finding(
                "inventory",
                "platform_monitoring_networks is set, and platform_balancer_tls is false",
                "TLS, as a login goes over it",
                "set platform_balancer_tls to true, or leave platform_monitoring_networks empty",
            )
        )
    return found


def _is_network(text: str) -> bool:
    try:
        return bool(ipaddress.ip_network(text))
    except ValueError:
        return False


def _hosts(groups: dict[str, list]) -> list[Finding]:
    hosts = groups.get(MONITORING) or []
    found = []
    if len(hosts) > 1:  # each would raise every alert
        found.append(
            Finding(
                "inventory",
                f"group {MONITORING} has {len(hosts)} hosts ({', '.join(hosts)})",
                "one host, or none",
                f"leave one host in group {MONITORING}",
            )
        )
    for group, what in NEED_PROMETHEUS.items():
        if groups.get(group) and not hosts:
            found.append(
                Finding(
                    "inventory",
                    f"group {group} has {groups[group][0]}, and group {MONITORING} no host",
                    f"a host in group {MONITORING}, whose Prometheus {what}",
                    f"put a host into group {MONITORING}, or take {group} away",
                )
            )
    return found
