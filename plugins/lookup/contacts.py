# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: contacts
author: intranet.mcp contributors (@intranet-mcp)
short_description: What each container of the current host must reach, and may
description:
  - C(verify) tries it from inside each container.
options: {}
"""

EXAMPLES = r"""
- name: Show what the gateway reaches
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.contacts') | selectattr('service', 'equalto', 'gateway') }}"
"""

RETURN = r"""
_raw:
  description: Containers with C(service), C(ports), C(reaches), C(here) and C(flows).
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.networks import contacts


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return contacts(topology, host)
