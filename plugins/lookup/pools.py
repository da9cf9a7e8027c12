# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: pools
author: intranet.mcp contributors (@intranet-mcp)
short_description: What a load balancer on the current host distributes to
description:
  - Every service that has C(load_balancer) among its clients, with each of its replicas.
options: {}
"""

EXAMPLES = r"""
- name: Show the replicas of LiteLLM
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.pools') | selectattr('service', 'equalto', 'litellm') }}"
"""

RETURN = r"""
_raw:
  description: >-
    Pools with C(service), the paths C(ready) and C(alive), and C(servers) with C(name),
    C(address) and C(is_name).
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return topology.pools(host)
