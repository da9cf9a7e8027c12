# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: shared_address
author: intranet.mcp contributors (@intranet-mcp)
short_description: How the load balancer of the current host shares an address with the others
description:
  - Addresses of C(platform_balancer_address), and who advertises to whom.
options: {}
"""

EXAMPLES = r"""
- name: Show the balancers that share the address
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.shared_address') | first | default({}) }}"
"""

RETURN = r"""
_raw:
  description: >-
    One mapping with C(address), C(peers), C(priority), C(addresses) and C(excluded); none where
    no address is shared.
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.module_utils.topology.shared_address import sharing
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return [sharing(topology, host)] if topology.shared else []
