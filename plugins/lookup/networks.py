# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: networks
author: intranet.mcp contributors (@intranet-mcp)
short_description: Networks of the current host's containers, and where their packets may go
description:
  - Each zone is a network. What leaves it is filtered by its bridge.
options: {}
"""

EXAMPLES = r"""
- name: Show the names of the networks
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.networks') | map(attribute='name') }}"
"""

RETURN = r"""
_raw:
  description: Networks with C(name), C(interface), C(egress), C(flows), C(here) and C(closed).
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.networks import networks


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return networks(topology, host)
