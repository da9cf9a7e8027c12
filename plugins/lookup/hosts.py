# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: hosts
author: intranet.mcp contributors (@intranet-mcp)
short_description: Which hosts a play is for, as the catalog says
description:
  - Returns a pattern of the inventory groups whose hosts run services, for the C(hosts) of a play
    that has the role C(intranet.mcp.platform) or one that depends on it.
  - Ansible resolves C(hosts) before there is a host. So the catalog is the role's, or one given by
    C(-e); what an inventory says of hosts is not known yet.
options:
  _terms:
    description:
      - A tag of C(site.yml). Only the hosts of services that its plays deploy are meant then.
    required: false
  changing:
    description:
      - Returns only hosts that C(platform_verb=plan) found to change, in the inventory's order.
    type: bool
    default: false
  clusters:
    description:
      - Whether Kubernetes clusters are among them. What needs an engine leaves them out.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Inspect every host of the platform
  hosts: "{{ lookup('intranet.mcp.hosts') }}"
  roles: [intranet.mcp.platform]

- name: Replace replicas of LiteLLM one after the other
  hosts: "{{ query('intranet.mcp.hosts', 'litellm', changing=true) }}"
  serial: 1
  roles: [intranet.mcp.litellm]
"""

RETURN = r"""
_raw:
  description: One pattern, or hosts with O(changing=true); V(!all) where there are none.
  type: list
  elements: str
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import KUBERNETES
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.workers import preload
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.services import (
    changing,
    groups,
)

# What decides whose hosts are meant. Ports and the like may hold what preflight has yet to refuse.
NEEDED = ("group", "part_of", "role", "tag")


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        # The playbooks ask this first: for whom a play is, before workers are forked for it.
        preload()
        self.set_options(var_options=variables, direct=kwargs)
        try:
            catalog = self._catalog(variables["platform_services"])
            if self.get_option("changing"):
                return changing(catalog, variables["groups"], *terms) or ["!all"]
            # A group that the inventory does not have is no host, and a warning in a pattern.
            known = [group for group in groups(catalog, *terms) if group in variables["groups"]]
            if not self.get_option("clusters") and KUBERNETES in variables["groups"]:
                known += [f"!{KUBERNETES}"] if known else []
            return [":".join(known) or "!all"]
        except TopologyError as error:
            raise AnsibleLookupError(f"hosts: {error}") from error

    def _catalog(self, given):
        """Return the catalog, its entries resolved as far as they are needed."""
        entries = self._templar.template(given) if isinstance(given, str) else given
        return {
            name: {
                key: self._templar.template(value) if key in NEEDED else value
                for key, value in entry.items()
            }
            for name, entry in entries.items()
        }
