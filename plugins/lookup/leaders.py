# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: leaders
author: intranet.mcp contributors (@intranet-mcp)
short_description: What a load balancer on the current host passes to the leading member alone
description:
  - Services with several members of which one leads, such as a cluster of PostgreSQL.
options: {}
"""

EXAMPLES = r"""
- name: Show the candidates for the primaries
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.leaders') }}"
"""

RETURN = r"""
_raw:
  description: >-
    Services with their C(service), the balancer's C(port), the C(path) that tells who leads,
    and C(servers).
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return topology.leaders(host)
