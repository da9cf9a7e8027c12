# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.engine import definition
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import (
    images,
    own_credentials,
    servers,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology import flow_matrix, networks


def _clear_errors(function):
    """A pure function as a filter: its own errors become one line without a traceback."""

    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Unusable as error:
            raise AnsibleFilterError(str(error)) from error

    return call


def stale_networks(host, network, wanted):
    """Names of the platform's networks on a host, as service_state lists them, but the wanted."""
    return networks.stale(host, network, definition.LABEL_NETWORK, wanted)


class FilterModule:
    def filters(self):
        return {
            "flow_table": flow_matrix.table,
            "flow_chart": flow_matrix.mermaid,
            "service_specs": _clear_errors(definition.specs),
            "service_summary": definition.summary,
            "service_moved": definition.moved,
            "service_stale_networks": stale_networks,
            "mcp_servers": _clear_errors(servers.merge),
            "tool_services": _clear_errors(servers.tool_services),
            "images_said": images.said,
            "mcp_servers_here": servers.contained,
            "mcp_servers_per_user": own_credentials.servers_with,
            "token_secrets": servers.token_secrets,
            "gateway_upstreams": servers.gateway_upstreams,
            "header_secrets": servers.header_secrets,
        }
