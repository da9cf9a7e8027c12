"""The parts that a configuration decides and nothing else remembers."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from mcp_gateway.addresses import Proxies
from mcp_gateway.admit import Admission
from mcp_gateway.auth.build import build_identification
from mcp_gateway.authorize import Authorization
from mcp_gateway.config import read_secret
from mcp_gateway.identify import AuthFailures, Identification
from mcp_gateway.limits import RateLimiter
from mcp_gateway.metrics import Metrics
from mcp_gateway.sessions import read_keys
from mcp_gateway.settings import Config, Secret


class Parts(NamedTuple):
    """Built before any of them is used: one that cannot be built leaves the others unused, too."""

    config: Config
    sealing_keys: list[bytes]
    proxies: Proxies
    admission: Admission
    identification: Identification
    authorization: Authorization
    rate_limiter: RateLimiter

    async def close(self) -> None:
        """Drop the connections to the authorities and to Redis."""
        await self.identification.close()
        await self.rate_limiter.close()


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
    )


def _redis_url(config: Config) -> str | None:
    path = config.rate_limit.redis_url_file
    if path:
        return read_secret(Secret(file=path), "rate_limit.redis_url_file")
    return config.rate_limit.redis_url
