# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: metrics
author: intranet.mcp contributors (@intranet-mcp)
short_description: What a Prometheus on the current host asks for numbers
description:
  - Of each service of the catalog with C(metrics) or an C(exporter), and of each with C(health)
    that has C(monitoring) among its clients, every replica.
options: {}
"""

EXAMPLES = r"""
- name: Show what is watched
  ansible.builtin.debug:
    msg: "{{ query('intranet.mcp.metrics') | map(attribute='name') }}"
"""

RETURN = r"""
_raw:
  description: >-
    Jobs. Each has C(name), C(service), C(container) (the service whose container it is), C(kind)
    (C(metrics), C(exporter) or C(probe)), C(path), C(secret) (the name of what it asks for),
    C(exporter) (C(service) and C(address), empty where the service itself is asked) and
    C(targets), each with C(host) and C(address).
  type: list
  elements: dict
"""

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.targets import jobs
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.lookups import TopologyLookup


class LookupModule(TopologyLookup):
    def answer(self, topology, host, terms):
        return jobs(topology, host)
