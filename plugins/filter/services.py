# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.engine import definition
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import (
    images,
    own_credentials,
    secret_files,
    servers,
    upstream_tokens,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology import flow_matrix, networks


def stale_networks(host: dict, network: str, wanted: list[str]) -> list[str]:
    """Names of the platform's networks on a host, as service_state lists them, but the wanted."""
    return networks.stale(host, network, definition.LABEL_NETWORK, wanted)


class FilterModule:
    def filters(self):
        return guarded(
            {
                "flow_table": flow_matrix.table,
                "flow_chart": flow_matrix.mermaid,
                "service_specs": definition.specs,
                "service_summary": definition.summary,
                "service_orphans": definition.orphans,
                "service_stale_networks": stale_networks,
                "mcp_servers": servers.merge,
                "tool_services": servers.tool_services,
                "images_said": images.said,
                "mcp_servers_here": servers.contained,
                "mcp_servers_per_user": own_credentials.stored_for,
                "exchange_client": upstream_tokens.exchange_client,
                "oauth_clients": upstream_tokens.portal_clients,
                "gateway_upstreams": servers.gateway_upstreams,
                "gateway_secrets": secret_files.gateway,
                "portal_secrets": secret_files.portal,
            }
        )
