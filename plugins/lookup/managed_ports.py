# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: managed_ports
author: intranet.mcp contributors (@intranet-mcp)
short_description: Ports that the catalog gives to services of the current host
description:
  - The firewall closes those of them that no flow opens.
options: {}
"""

EXAMPLES = r"""
- name: Show which ports are closed unless a flow opens them
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.managed_ports') }}"
"""

RETURN = r"""
_raw:
  description: Numbers of ports, in order.
  type: list
  elements: int
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return topology.managed_ports(host)
