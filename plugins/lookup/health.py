# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: health
author: intranet.mcp contributors (@intranet-mcp)
short_description: Addresses that say whether services of the current host are alive
description:
  - Of each service whose entry in the catalog has a C(health) path, as far as its port is
    published on the host, if only on loopback.
options: {}
"""

EXAMPLES = r"""
- name: Show what verify asks on this host
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.health') | first }}"
"""

RETURN = r"""
_raw:
  description: One mapping from each service to a URL, which answers 200.
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.ports import health


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return [health(topology, host)]
