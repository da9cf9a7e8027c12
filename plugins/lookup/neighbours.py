# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: neighbours
author: intranet.mcp contributors (@intranet-mcp)
short_description: Every other host of the platform as the current one must find it
description:
  - C(verify) compares it with what answers.
options: {}
"""

EXAMPLES = r"""
- name: Show which ports of other hosts answer here
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.neighbours') }}"
"""

RETURN = r"""
_raw:
  description: >-
    Hosts with C(host), C(addresses), C(ports) (every port of the catalog) and C(open) (those
    that must answer this host).
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return topology.neighbours(host)
