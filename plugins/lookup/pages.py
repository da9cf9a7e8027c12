# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: pages
author: intranet.mcp contributors (@intranet-mcp)
short_description: Pages of the monitoring that the load balancer serves to operators
description:
  - Every service of the catalog with a C(page), where C(platform_monitoring_networks) opens them
    and the groups C(monitoring) and C(load_balancer) have a host; else nothing.
options: {}
"""

EXAMPLES = r"""
- name: Show where operators open the pages
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.pages') | map(attribute='url') }}"
"""

RETURN = r"""
_raw:
  description: >-
    Pages with C(service), C(path), C(url) (where operators open it), C(has_login) (whether it asks
    for a login itself), C(health), C(hidden) (paths that are not served), C(address) (by which the
    current host reaches it) and C(is_name).
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return topology.pages(host)
