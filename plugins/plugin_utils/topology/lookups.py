# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What lookups about the platform share: the topology of the play, and errors in one line."""

from __future__ import annotations

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import topology_from


class TopologyLookup(LookupBase):
    """A lookup that answers one question about the catalog laid over the inventory."""

    # Whether it is asked about named services; else about the host.
    is_of_services = False

    def run(self, terms, variables=None, **kwargs):
        """Answer for the current host."""
        self.set_options(var_options=variables, direct=kwargs)
        question = type(self).__module__.rpartition(".")[2]
        if terms and not self.is_of_services:
            raise AnsibleLookupError(
                f"{question}: found the term {terms[0]!r}, expected none: each question has a "
                "lookup of its own (ansible-doc -t lookup -l intranet.mcp)"
            )
        try:
            topology = topology_from(variables, self._templar.template)
            return self.answer(topology, variables["inventory_hostname"], terms)
        except TopologyError as error:
            raise AnsibleLookupError(f"{question}: {error}") from error

    def answer(self, topology: Topology, host: str, terms: list) -> list:
        """Return the answer for a host."""
        raise NotImplementedError
