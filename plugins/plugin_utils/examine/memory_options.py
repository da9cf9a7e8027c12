# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which variable bounds a service's memory, as its role's definition says."""

from __future__ import annotations

import os
import re

from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import Service

ROLES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "roles")


def option_of(service: Service) -> str:
    """Return the variable's name, empty where the limit is no option."""
    if service.part_of:  # the servers of mcp_servers have one entry of the catalog in common
        return f"mcp_servers.{service.name.removeprefix('tool-')}.memory_mb"
    path = os.path.join(ROLES, service.role, "defaults", "main.yml")
    if not os.path.exists(path):  # a role that is not of this collection
        return ""
    with open(path, encoding="utf-8") as file:
        return named(yaml_load(file) or {}).get(service.name, "")


def named(defaults: dict) -> dict[str, str]:
    """Return the variable of each service that a role's defaults define. Pure."""
    definitions = [v for k, v in defaults.items() if k.endswith("_service") and isinstance(v, dict)]
    found = {
        definition["name"]: re.search(r"\w+_memory_mb", str(definition["memory_mb"]))
        for definition in definitions
    }
    return {service: match[0] for service, match in found.items() if match}
