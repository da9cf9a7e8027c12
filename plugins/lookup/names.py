# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: names
author: intranet.mcp contributors (@intranet-mcp)
short_description: Every name and address by which a service may be called
description:
  - Of its container, its hosts and the load balancer, without port. Certificates and the
    gateway's check of Host headers know these.
options:
  _terms:
    description: Names of services in the catalog (C(platform_services)).
    required: true
"""

EXAMPLES = r"""
- name: Show what a certificate must be valid for
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.names', 'load_balancer') }}"
"""

RETURN = r"""
_raw:
  description: Names and addresses, each once.
  type: list
  elements: str
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    is_of_services = True

    def answer(self, topology, host, terms):
        return [known for name in terms for known in topology.known_as(name)]
