# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils import (
    _flow_matrix,
    _mcp_images,
    _mcp_servers,
    _networks,
    _service,
)

ERRORS = (_service.DefinitionError, _mcp_servers.DefinitionError, _mcp_images.ImageError)


def _clear_errors(function):
    """A pure function as a filter: its own errors become one line without a traceback."""

    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ERRORS as error:
            raise AnsibleFilterError(str(error)) from error

    return call


def stale_networks(host, network, wanted):
    """Names of the platform's networks on a host, as docker_host_info lists it, but the wanted."""
    return _networks.stale(host, network, _service.LABEL_NETWORK, wanted)


class FilterModule:
    def filters(self):
        return {
            "flow_table": _flow_matrix.table,
            "flow_chart": _flow_matrix.mermaid,
            "service_specs": _clear_errors(_service.specs),
            "service_summary": _service.summary,
            "service_plan": _clear_errors(_service.plan),
            "service_moved": _service.moved,
            "service_stale_networks": stale_networks,
            "mcp_servers": _clear_errors(_mcp_servers.merge),
            "tool_services": _clear_errors(_mcp_servers.tool_services),
            "images_said": _mcp_images.said,
            "mcp_servers_here": _mcp_servers.contained,
            "token_secrets": _mcp_servers.token_secrets,
            "gateway_upstreams": _mcp_servers.gateway_upstreams,
            "header_secrets": _mcp_servers.header_secrets,
        }
