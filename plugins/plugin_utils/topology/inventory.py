# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Builds a Topology from the variables of a running play (the lookups' only data source)."""

from __future__ import annotations

import ipaddress

from ansible.errors import AnsibleError
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import (
    TopologyError,
    build_services,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import (
    KUBERNETES,
    Cluster,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.external import VARIABLES, read
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.workers import once_a_task

# What a catalog of the wrong shape ends in; a traceback would help nobody.
UNUSABLE = (TopologyError, AnsibleError, LookupError, TypeError, ValueError, AttributeError)


def reason_of(error: Exception) -> str:
    """Return why a catalog cannot be used: one of UNUSABLE as a sentence."""
    return str(error) if isinstance(error, TopologyError | AnsibleError) else repr(error)


def topology_from(variables: dict, template) -> Topology:
    """The topology a lookup works on.

    variables: the play's variables. template: renders a value (the lookup's templar), because
    hostvars and role defaults reach a lookup as written.

    One task may ask for it ten times.
    """
    host = variables.get("inventory_hostname", "")
    return once_a_task("topology", host, lambda: _topology(variables, template))


def _topology(variables: dict, template) -> Topology:
    services = build_services(
        template(variables.get("platform_services", {})),
        template(variables.get("platform_mcp_servers", {})),
    )
    groups = {name: list(hosts) for name, hosts in variables.get("groups", {}).items()}
    wanted = {service.group for service in services.values()} | {
        client for service in services.values() for client in service.clients
    }
    hosts = {host for name in wanted for host in groups.get(name, [])}
    # Each look into hostvars gathers all variables of that host.
    hostvars = {host: variables["hostvars"][host] for host in hosts}
    return Topology(
        services=services,
        groups=groups,
        addresses={host: host_addresses(found, template) for host, found in hostvars.items()},
        names={host: host_names(found, template) for host, found in hostvars.items()},
        users_networks=list(template(variables.get("platform_users_networks", []))),
        remote_operators=list(template(variables.get("platform_monitoring_networks", []))),
        container_prefix=template(variables.get("platform_container_prefix", "")),
        network=template(variables.get("platform_network", "")),
        public_name=template(variables.get("platform_public_name", "")),
        tls=bool(template(variables.get("platform_balancer_tls", False))),
        shared=_listed(template(variables.get("platform_balancer_address", []))),
        clusters={
            host: _cluster(hostvars[host], template)
            for host in groups.get(KUBERNETES, [])
            if host in hostvars
        },
        external=read(external_from(variables, template), services),
    )


def external_from(variables: dict, template) -> dict[str, dict]:
    """What the inventory says of servers that keep data elsewhere, by service."""
    said = {name: template(variables.get(variable)) for name, variable in VARIABLES.items()}
    return {name: dict(found) if isinstance(found, dict) else {} for name, found in said.items()}


def _cluster(hostvars, template) -> Cluster:
    """What the inventory says of a cluster's networks, and what an operator runs there."""
    networks = template(hostvars.get("kubernetes_networks") or {})
    postgres = template(hostvars.get("kubernetes_postgres") or {})
    return Cluster(
        tuple(networks.get("outbound") or networks.get("nodes") or ()),
        ("postgres",) if postgres.get("operator") else (),
    )


def _listed(value) -> list[str]:
    """A text or a list of texts, as a list without empty ones."""
    return [text for text in ([value] if isinstance(value, str) else list(value or [])) if text]


def host_addresses(hostvars, template) -> list[str]:
    """Addresses of a host, best first: platform_address, ansible_host, then gathered facts."""
    own = hostvars.get("platform_address")
    if own:
        own = template(own)
        return [own] if isinstance(own, str) else list(own)
    candidates = [hostvars.get("ansible_host")]
    facts = _facts(hostvars)
    candidates += [
        facts.get(family, {}).get("address") for family in ("default_ipv4", "default_ipv6")
    ]
    return list(dict.fromkeys(value for value in candidates if is_address(value)))


def host_names(hostvars, template) -> list[str]:
    """Names of a host besides the inventory's: where Ansible reaches it, and its own."""
    facts = _facts(hostvars)
    names = [hostvars.get("ansible_host"), facts.get("fqdn"), facts.get("hostname")]
    return list(dict.fromkeys(template(name) for name in names if name))


def _facts(hostvars) -> dict:
    """What was gathered on a host; where it stands for a cluster, that was the control node."""
    is_cluster = KUBERNETES in hostvars.get("group_names", [])
    return {} if is_cluster else hostvars.get("ansible_facts", {})


def is_address(value) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True
