# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: endpoint
author: intranet.mcp contributors (@intranet-mcp)
short_description: Where a service of the platform is reached from the current host
description:
  - Answers from the inventory alone. On the service's own host this is its container, from
    elsewhere its host, and with several hosts the load balancer.
options:
  _terms:
    description: Names of services in the catalog (C(platform_services)), for example V(litellm).
    required: true
  every:
    description:
      - Returns every replica instead of one address, for clients that balance on their own.
    type: bool
    default: false
  client:
    description:
      - Who connects. V(container) answers for a container of this platform on the current host.
      - V(host) answers for a process on the current host, which knows no container names and
        uses the published port.
      - V(user) answers for people's own machines.
      - V(peer) answers for the service's other replicas, how they reach the one on this host, or
        with O(every=true) how they reach each.
    type: str
    choices: [container, host, user, peer]
    default: container
  url:
    description:
      - Returns C(http://host:port), or C(https://host) where people reach the load balancer over
        TLS, instead of C(host:port).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show where LiteLLM answers
  ansible.builtin.debug:
    msg: "http://{{ lookup('intranet.mcp.endpoint', 'litellm') }}/v1"
"""

RETURN = r"""
_raw:
  description: One C(host:port) for each service, or for each replica with O(every=true).
  type: list
  elements: str
"""

from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import (
    LOOPBACK,
    Endpoint,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    is_of_services = True

    def answer(self, topology, host, terms):
        return [
            endpoint.url if self.get_option("url") else str(endpoint)
            for name in terms
            for endpoint in self._endpoints(topology, name, host)
        ]

    def _endpoints(self, topology, name, host):
        client = self.get_option("client")
        if client == "user":
            return [topology.user_endpoint(name)]
        if client == "peer":
            hosts = topology.hosts_of(name) if self.get_option("every") else [host]
            return [topology.peer_endpoint(name, each) for each in hosts]
        if client == "host" and host in topology.hosts_of(name):
            return [Endpoint(LOOPBACK, topology.service(name).port)]
        if self.get_option("every"):
            return topology.endpoints(name, host)
        return [topology.endpoint(name, host)]
