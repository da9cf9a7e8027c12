# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: inside_ports
author: intranet.mcp contributors (@intranet-mcp)
short_description: Ports on which containers of the current host listen
description:
  - Where another container of the host connects to a service, and where the service itself has
    to listen.
options: {}
"""

EXAMPLES = r"""
- name: Show where Redis listens in its container
  ansible.builtin.debug:
    msg: "{{ (query('intranet.mcp.inside_ports') | first).redis }}"
"""

RETURN = r"""
_raw:
  description: One mapping from each service and part to its port.
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return [{service.name: service.inside_port for service in topology.services_on(host)}]
