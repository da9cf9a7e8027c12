# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: replicas
author: intranet.mcp contributors (@intranet-mcp)
short_description: What a proxy outside the platform distributes to
description:
  - The replicas of what a load balancer of the platform stands in front of, by the addresses of
    their hosts.
options: {}
"""

EXAMPLES = r"""
- name: Show what a company's own nginx would need
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.replicas') }}"
"""

RETURN = r"""
_raw:
  description: Pools with C(service) and C(servers) with C(name) and C(address).
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return topology.replicas()
