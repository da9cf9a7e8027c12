# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: flow_matrix
author: intranet.mcp contributors (@intranet-mcp)
short_description: Every allowed connection of the whole platform
description:
  - What C(make flows) prints.
options: {}
"""

EXAMPLES = r"""
- name: Show who connects to PostgreSQL
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.flow_matrix') | selectattr('service', 'equalto', 'postgres') }}"
"""

RETURN = r"""
_raw:
  description: >-
    Connections with C(source), C(service), C(port), C(hosts), and C(by), what lets them
    through.
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.flow_matrix import matrix
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return matrix(topology)
