# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology import services


def _clear_errors(function):
    """A pure function as a filter: its own errors become one line without a traceback."""

    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except TopologyError as error:
            raise AnsibleFilterError(str(error)) from error

    return call


class FilterModule:
    def filters(self):
        return {
            "catalog_images": _clear_errors(services.images),
            "catalog_roles": _clear_errors(services.roles),
        }
