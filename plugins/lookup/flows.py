# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: flows
author: intranet.mcp contributors (@intranet-mcp)
short_description: Inbound traffic that the current host must accept
description:
  - Derives the allowed flows from the catalog and the inventory. The firewall is computed from
    them.
options: {}
"""

EXAMPLES = r"""
- name: Show what may come in
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.flows') }}"
"""

RETURN = r"""
_raw:
  description: Flows with C(service), C(port), C(proto) and C(sources) (CIDRs).
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return [flow.as_dict() for flow in topology.flows(host)]
