# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Secret files of the gateway and of the portal, by name. Pure.

own: what each has whichever servers there are; None where it does not need one. A secret that
nobody needs is not even looked up, since looking one up makes it.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import servers as mcp_servers
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import upstream_tokens


def gateway(
    own: dict[str, str | None], servers: dict, tokens: dict[str, str], oidc: dict[str, Any]
) -> dict[str, str]:
    """Return the gateway's: its own, and what it shows at servers and at the provider.

    tokens: what it shows at servers in containers, by server. oidc: platform_oidc.
    """
    return {
        **_needed(own),
        **upstream_tokens.client_secrets(servers),
        **upstream_tokens.exchange_secret(servers, oidc),
        **mcp_servers.token_secrets(tokens),
        **mcp_servers.header_secrets(servers),
    }


def portal(own: dict[str, str | None], servers: dict) -> dict[str, str]:
    """Return the portal's: its own, and its clients' at servers, where it stores credentials."""
    needed = _needed(own)
    stores = "credentials_key" in needed
    return {**needed, **(upstream_tokens.client_secrets(servers) if stores else {})}


def _needed(own: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in own.items() if value is not None}
