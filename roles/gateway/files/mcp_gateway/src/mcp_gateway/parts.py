"""The parts that a configuration decides and nothing else remembers."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from mcp_gateway.addresses import Proxies
from mcp_gateway.admit import Admission
from mcp_gateway.auth.build import build_identification
from mcp_gateway.authorize import Authorization
from mcp_gateway.config import ConfigError, read_secret
from mcp_gateway.credentials import REDIS_SECONDS, Store
from mcp_gateway.identify import AuthFailures, Identification
from mcp_gateway.limits import RateLimiter, redis_client
from mcp_gateway.metrics import Metrics
from mcp_gateway.sessions import read_keys
from mcp_gateway.settings import Config, Credentials, Secret
from mcp_gateway.vault import Vault


class Parts(NamedTuple):
    """Built before any of them is used: one that cannot be built leaves the others unused, too."""

    config: Config
    sealing_keys: list[bytes]
    proxies: Proxies
    admission: Admission
    identification: Identification
    authorization: Authorization
    rate_limiter: RateLimiter
    credentials: Store | None

    async def close(self) -> None:
        """Drop the connections to the authorities and to Redis."""
        await self.identification.close()
        await self.rate_limiter.close()
        if self.credentials is not None:
            await self.credentials.close()


def build(config: Config, metrics: Metrics, failures: AuthFailures) -> Parts:
    """Every part of `config`; ConfigError, ValueError or OSError when one cannot be built."""
    listen = config.listen
    peers = [urlsplit(url).hostname or "" for url in config.sessions.peers]
    return Parts(
        config=config,
        sealing_keys=read_keys(config.sessions.key_files),
        proxies=Proxies([*listen.trusted_proxies, *peers], listen.trust_caller_header),
        admission=Admission(listen, config.limits, config.sessions.peer_url),
        identification=build_identification(config, metrics, failures),
        authorization=Authorization(config.policy),
        rate_limiter=RateLimiter(config.rate_limit, _redis_url(config), metrics),
        credentials=_credentials(config.credentials),
    )


def _redis_url(config: Config) -> str | None:
    path = config.rate_limit.redis_url_file
    if path:
        return read_secret(Secret(file=path), "rate_limit.redis_url_file")
    return config.rate_limit.redis_url


def _credentials(settings: Credentials) -> Store | None:
    """Where people's own credentials are, if they have any here."""
    if not settings.key_file:
        return None
    key = read_secret(Secret(file=settings.key_file), "credentials.key_file")
    url = settings.redis_url or ""
    if settings.redis_url_file:
        url = read_secret(Secret(file=settings.redis_url_file), "credentials.redis_url_file")
    try:
        vault = Vault(key)
    except ValueError as error:
        raise ConfigError("credentials.key_file", [f"{settings.key_file}: {error}"]) from None
    return Store(settings, vault, redis_client(url, REDIS_SECONDS), REDIS_SECONDS)
