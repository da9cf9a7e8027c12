# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What plays need of the catalog: hosts' groups, roles in their order, images. Pure.

The catalog lists services in the order in which they need one another, so its order is that of
deploying and, reversed, that of removing.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import (
    PLATFORM,
    SERVICES_TAG,
    checked,
    role_of,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import KUBERNETES


def groups(catalog: dict, tag: str = "") -> list[str]:
    """Inventory groups whose hosts run a service; with a tag, one that its plays deploy."""
    wanted = roles(catalog, tag)
    found = [e["group"] for name, e in checked(catalog).items() if role_of(name, e) in wanted]
    return _own_groups(catalog) if PLATFORM in found else _unique(found)


def _own_groups(catalog: dict) -> list[str]:
    """Groups of the inventory that the catalog knows."""
    return _unique(e["group"] for e in catalog.values() if e["group"] != PLATFORM)


def roles(catalog: dict, tag: str = "", of_groups: list[str] | None = None) -> list[str]:
    """Roles that run services, those first that others need.

    tag: only those that the plays of this tag deploy. of_groups: only those that have something to
    run on a host of these groups; else also those of services that are off.
    """
    found: dict[str, list[dict]] = {}
    for name, entry in checked(catalog).items():
        found.setdefault(role_of(name, entry), []).append(entry)
    return [
        role
        for role, entries in found.items()
        if tag in ("", entries[0].get("tag", SERVICES_TAG))
        and (of_groups is None or any(_runs(entry, of_groups) for entry in entries))
    ]


def changing(catalog: dict, inventory: dict[str, list[str]], tag: str = "") -> list[str]:
    """Hosts where a role of these plays has something to change, in the inventory's order.

    inventory: the groups, among them rolling_ROLE, which the role `service` makes when it plans.
    """
    wanted = roles(catalog, tag)
    return _unique(
        host
        for name, entry in checked(catalog).items()
        if role_of(name, entry) in wanted
        for group in (_own_groups(catalog) if entry["group"] == PLATFORM else [entry["group"]])
        for host in inventory.get(group, [])
        if host in inventory.get(f"rolling_{role_of(name, entry)}", [])
    )


def images(catalog: dict, of_groups: list[str], of_members: list[str]) -> list[str]:
    """Names of the images that a host of these groups needs.

    of_members: those of MCP servers, which one entry of the catalog stands for.
    """
    found: list[str] = []
    for name, entry in checked(catalog).items():
        if _runs(entry, of_groups):
            found += of_members if "members" in entry else [entry.get("image") or name]
    return _unique(found)


def _runs(entry: dict, of_groups: list[str]) -> bool:
    # What runs on every host is not for clusters.
    is_for_these = (
        KUBERNETES not in of_groups if entry["group"] == PLATFORM else entry["group"] in of_groups
    )
    return entry.get("enabled", True) and is_for_these


def _unique(items) -> list[str]:
    return list(dict.fromkeys(items))
