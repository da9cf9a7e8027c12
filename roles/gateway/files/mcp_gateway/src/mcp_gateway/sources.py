"""From `per_user` of a server to where people's credentials for it come from."""

from __future__ import annotations

from mcp_gateway import tokenrequest
from mcp_gateway.config import ConfigError, read_secret
from mcp_gateway.credentials import Credentials
from mcp_gateway.exchange import Exchanged
from mcp_gateway.personal import Source
from mcp_gateway.providers import Provider
from mcp_gateway.renewal import Renewed
from mcp_gateway.settings import PerUser, TokenClient
from mcp_gateway.stored import Stored
from mcp_gateway.tokenendpoint import TokenEndpoint


def build(server: str, own: PerUser, credentials: Credentials, secret: str) -> Source:
    """The source that the settings name. secret: of the client that asks for tokens, if any."""
    if own.exchange is not None:
        provider = Provider(own.exchange.issuer, own.exchange, secret)
        return Exchanged(server, own.exchange, provider)
    if own.oauth is not None:
        endpoint = TokenEndpoint(own.oauth.token_endpoint, own.oauth, secret)
        return Renewed(server, own.audience, credentials, endpoint)
    return Stored(server, own.audience, credentials)


def read_secret_of(where: str, client: TokenClient | None) -> dict[str, str]:
    """The client's secret, as `""` of a mapping; empty where it has none, or nobody asks."""
    if client is None or client.client_secret is None:
        return {}
    secret = read_secret(client.client_secret, f"{where}.client_secret")
    if client.token_endpoint_auth_method == tokenrequest.BASIC and not tokenrequest.is_plain(
        secret
    ):
        problem = (
            "the secret has characters that servers read in two ways, or is empty; expected "
            f"token_endpoint_auth_method: {tokenrequest.POST}"
        )
        raise ConfigError(f"{where}.client_secret", [problem])
    return {"": secret}
