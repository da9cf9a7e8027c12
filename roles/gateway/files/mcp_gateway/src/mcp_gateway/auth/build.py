"""From the `auth` section to the authorities it names."""

from __future__ import annotations

from mcp_gateway.auth.litellm import LitellmKeys
from mcp_gateway.auth.oidc import OidcTokens
from mcp_gateway.auth.static import StaticKeys
from mcp_gateway.config import ConfigError, read_secret
from mcp_gateway.identify import AuthFailures, Authority, Identification
from mcp_gateway.metrics import Metrics
from mcp_gateway.settings import Config, Secret


def build_identification(
    config: Config, metrics: Metrics, failures: AuthFailures
) -> Identification:
    """The authorities in the order in which they are asked: the cheapest first."""
    auth = config.auth
    authorities: list[Authority] = []
    if auth.static_keys or auth.static_keys_file:
        authorities.append(StaticKeys(auth.static_keys, auth.static_keys_file))
    if auth.litellm is not None:
        authorities.append(LitellmKeys(auth.litellm, metrics))
    authorities += [OidcTokens(settings) for settings in auth.oidc]
    return Identification(
        authorities,
        open_to_anyone=auth.none,
        public_url=config.listen.public_url,
        trust_caller_header=config.listen.trust_caller_header,
        failures=failures,
        monitoring_key=_monitoring_key(auth.monitoring_key_file),
    )


def _monitoring_key(path: str | None) -> str:
    """The key with which metrics are read; as long as any other key."""
    if not path:
        return ""
    key = read_secret(Secret(file=path), "auth.monitoring_key_file")
    if len(key) < 16:
        raise ConfigError(path, ["the key has fewer than 16 characters; generate a longer one"])
    return key
