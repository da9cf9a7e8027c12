# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: verify_host
author: intranet.mcp contributors (@intranet-mcp)
short_description: What verify has to know of the catalog about the current host
description:
  - Which services run there, where they are asked, and which connections are open. The role
    C(verify) makes probes of it.
options: {}
"""

EXAMPLES = r"""
- name: Show what verify asks on this host
  ansible.builtin.debug:
    msg: "{{ lookup('intranet.mcp.verify_host').health }}"
"""

RETURN = r"""
_raw:
  description: >-
    One mapping with C(host), C(groups), C(clusters) (groups of which several hosts are one
    cluster), C(members) (their hosts), C(health), C(ready), C(ports) and C(inside) (each by
    service), C(jobs) (names of what Prometheus asks, where it runs), C(pages), and C(flows) with
    C(allow), C(managed), C(contacts) and C(neighbours), as the lookups of these names return them.
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_catalog import of_host
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return [of_host(topology, host)]
