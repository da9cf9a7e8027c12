"""A new configuration without dropping sessions: on SIGHUP, or when the file changes."""

from __future__ import annotations

import asyncio
import logging
import os

from mcp_gateway.config import ConfigError, load
from mcp_gateway.gateway import Gateway
from mcp_gateway.limits import allow_files

log = logging.getLogger("mcp_gateway.reload")
POLL_SECONDS = 2.0
# What the listener, the log and the other replicas were given at the start.
UNTIL_THE_NEXT_START = (
    "audit.file",
    "limits.drain_seconds",
    "listen.host",
    "listen.port",
    "listen.tls_cert_file",
    "listen.tls_key_file",
    "log_level",
    "sessions.peer_url",
)
Stamp = tuple[int, int, int]


async def reload(gateway: Gateway, path: str) -> bool:
    """Use the file's new content; keep the old configuration, and say why, when it is broken."""
    async with gateway.reloading:  # of two, the one that reads the file last must also end last
        return await _reload(gateway, path)


async def _reload(gateway: Gateway, path: str) -> bool:
    try:
        config = load(path)
        fixed = [
            name
            for name in UNTIL_THE_NEXT_START
            if _get(config, name) != _get(gateway.config, name)
        ]
        await gateway.reload(config)
        allow_files(config.limits.connections)
    except (ConfigError, ValueError, OSError) as error:
        gateway.metrics.reloads.labels("refused").inc()
        gateway.last_reload_error = str(error)
        log.error("the new configuration is not used, the old one stays: %s", error)
        return False
    if fixed:
        log.warning("these options take effect at the next start: %s", ", ".join(fixed))
    gateway.metrics.reloads.labels("done").inc()
    gateway.last_reload_error = ""
    log.info("configuration read again: %d servers", len(config.upstreams))
    return True


async def watch(gateway: Gateway, path: str, known: Stamp | None) -> None:
    """Reload when the file is no longer the `known` one: replaced or edited."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        now = stamp(path)
        if now != known and now is not None:
            known = now
            if gateway.config.watch_config:
                await reload(gateway, path)


def stamp(path: str) -> Stamp | None:
    """What tells one state of a file from another."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _get(config: object, dotted: str) -> object:
    for name in dotted.split("."):
        config = getattr(config, name)
    return config
