# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: flows
author: intranet.mcp contributors (@intranet-mcp)
short_description: Inbound traffic the current host must accept
description:
  - Derives the allowed flows from the catalog and the inventory. The firewall is computed from it.
options:
  _terms:
    description:
      - V(allow) (the default) returns the flows, V(managed) every port of the catalog on this host,
        V(ports) a mapping from each service of this host to its C(port), its C(inside_port),
        C(publish), the addresses its port is published on, C(parts), the same of its further ports,
        C(networks) of its container and whether it has any C(egress), V(inside) only the
        C(inside_port) of each service and part, V(pools) what a load balancer on this host
        distributes to, V(leaders) what it passes to the leading member alone, V(networks) the
        networks of this host's containers and where their packets may go, V(contacts) what each of
        these containers reaches, V(sharing) how it shares an address with the others, one mapping
        or none, V(replicas) what a proxy elsewhere would distribute to, V(neighbours) every other
        host with the ports of the catalog and those that must answer this host, V(matrix) every
        allowed connection of the whole platform, each with C(source), C(service), C(port),
        C(hosts) and what lets it through.
    required: false
"""

EXAMPLES = r"""
- name: Show what may come in
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.flows') }}"
"""

RETURN = r"""
_raw:
  description:
    - For V(allow), a list of flows with C(service), C(port), C(proto) and C(sources) (CIDRs).
  type: list
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.module_utils.topology.shared_address import sharing
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.flow_matrix import matrix
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import topology_from
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.networks import (
    contacts,
    networks,
    networks_of,
)


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        what = terms[0] if terms else "allow"
        host = variables["inventory_hostname"]
        try:
            topology = topology_from(variables, self._templar.template)
            if what == "allow":
                return [flow.as_dict() for flow in topology.flows(host)]
            if what == "managed":
                return topology.managed_ports(host)
            if what == "ports":
                return [{s.name: _ports(topology, s, host) for s in topology.services_on(host)}]
            if what == "inside":
                return [{s.name: s.inside_port for s in topology.services_on(host)}]
            if what == "pools":
                return topology.pools(host)
            if what == "leaders":
                return topology.leaders(host)
            if what == "replicas":
                return topology.replicas()
            if what == "networks":
                return networks(topology, host)
            if what == "contacts":
                return contacts(topology, host)
            if what == "sharing":
                return [sharing(topology, host)] if topology.shared else []
            if what == "matrix":
                return matrix(topology)
            if what == "neighbours":
                return topology.neighbours(host)
        except TopologyError as error:
            raise AnsibleLookupError(f"flows: {error}") from error
        raise AnsibleLookupError(
            f"flows: {what!r} is not one of allow, managed, ports, inside, pools, leaders, "
            "networks, contacts, sharing, replicas, neighbours, matrix"
        )


def _ports(topology, service, host):
    parts = [s for s in topology.services_on(host) if s.part_of == service.name]
    return {
        **_port(topology, service, host),
        "parts": [_port(topology, s, host) for s in parts],
        "networks": networks_of(topology, service, host),
        "egress": bool(service.egress),
    }


def _port(topology, service, host):
    return {
        "port": service.port,
        "inside_port": service.inside_port,
        "publish": topology.publish(service.name, host),
    }
