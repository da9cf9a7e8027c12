# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight reads of an inventory about servers that keep its data elsewhere."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import MONITORING
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import external_data
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.secrets_places import (
    known_secrets,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import (
    UNUSABLE,
    external_from,
    host_addresses,
    host_names,
)


def required_groups(groups, task_vars, template):
    """The groups of preflight_required_groups that are to have a host here."""
    return external_data.required(groups, external_from(task_vars, template))


def external_problems(task_vars, template, authority, folder):
    """What is wrong with such servers.

    authority: reads a file of an authority; returns its text and why it cannot be used. folder:
    where secrets are.
    """
    try:
        said = external_from(task_vars, template)
        is_used = any(found.get("host") for found in said.values())
        site = {
            "groups": task_vars["groups"],
            "hosts": own_places(task_vars, template) if is_used else set(),
            "secrets": known_secrets(task_vars, template, folder),
            "own_secrets": lambda service: _are_own(service, task_vars, template),
            "unreadable": lambda path: authority(path)[1],
            "folder": folder,
        }
        return external_data.problems(said, site)
    except UNUSABLE:
        return []  # what it needs is itself wrong, and reported


def own_places(task_vars, template):
    """Names and addresses of the platform's hosts."""
    found = set()
    for host in task_vars["ansible_play_hosts_all"]:
        hostvars = task_vars["hostvars"][host]
        found |= {host, *host_addresses(hostvars, template), *host_names(hostvars, template)}
    return found


def _are_own(service, task_vars, template):
    """Whether every client is in a cluster, and has a Secret there that the site makes."""
    catalog, groups = template(task_vars["platform_services"]), task_vars["groups"]
    clients = [
        (name, host)
        for name, entry in catalog.items()
        if entry["group"] in catalog[service].get("clients", []) and "part_of" not in entry
        for host in groups.get(entry["group"], [])
        if entry["group"] != MONITORING
    ]
    return all(
        name in template(task_vars["hostvars"][host].get("kubernetes_secrets") or {})
        for name, host in clients
    )
