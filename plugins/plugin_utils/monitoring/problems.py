# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What of the inventory makes no monitoring. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import MONITORING

GRAFANA = "grafana"


def problems(groups: dict[str, list]) -> list[Finding]:
    """groups: inventory group -> hosts."""
    hosts, shown = groups.get(MONITORING) or [], groups.get(GRAFANA) or []
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
    if shown and not hosts:
        found.append(
            Finding(
                "inventory",
                f"group {GRAFANA} has {shown[0]}, and group {MONITORING} no host",
                f"a host in group {MONITORING}, whose Prometheus Grafana shows",
                f"put a host into group {MONITORING}, or take {GRAFANA} away",
            )
        )
    return found
