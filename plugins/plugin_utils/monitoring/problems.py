# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What of the inventory makes no monitoring. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import MONITORING


def problems(groups: dict[str, list]) -> list[Finding]:
    """Tell of several hosts: each would raise every alert. groups: inventory group -> hosts."""
    hosts = groups.get(MONITORING) or []
    if len(hosts) < 2:
        return []
    return [
        Finding(
            "inventory",
            f"group {MONITORING} has {len(hosts)} hosts ({', '.join(hosts)})",
            "one host, or none",
            f"leave one host in group {MONITORING}",
        )
    ]
