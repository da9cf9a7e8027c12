# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: ports
author: intranet.mcp contributors (@intranet-mcp)
short_description: Ports and networks of each service of the current host
description:
  - How a container is published and which networks it is on, as the role C(service) makes it.
options: {}
"""

EXAMPLES = r"""
- name: Show how LiteLLM is published
  ansible.builtin.debug:
    msg: "{{ (query('intranet.mcp.ports') | first).litellm }}"
"""

RETURN = r"""
_raw:
  description: >-
    One mapping from each service to its C(port), its C(inside_port), C(publish) (the addresses
    on which the port is published), C(parts) (the same of its further ports), the C(networks)
    of its container, and whether it has any C(egress).
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.ports import ports


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return [ports(topology, host)]
