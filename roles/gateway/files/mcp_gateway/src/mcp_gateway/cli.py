"""Command line: start the gateway, or check a configuration."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator

import msgspec
import uvicorn

from mcp_gateway import __version__, listener, reload
from mcp_gateway.config import ConfigError, load
from mcp_gateway.fingerprints import read_accepted, write_accepted
from mcp_gateway.gateway import Gateway
from mcp_gateway.limits import allow_files
from mcp_gateway.settings import Audit, Config, Drift


def main(argv: list[str] | None = None) -> None:
    """Entry point of `mcp-gateway`."""
    parser = argparse.ArgumentParser(prog="mcp-gateway", description="MCP gateway")
    parser.add_argument("--config", required=True, help="configuration file (YAML)")
    parser.add_argument("--check", action="store_true", help="check the configuration and leave")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--accept",
        nargs="*",
        metavar="SERVER",
        help="accept the tools of these servers (or all) as they are now, and leave",
    )
    options = parser.parse_args(argv)
    try:
        config = load(options.config)
        if options.check:
            print(f"{options.config}: good, {len(config.upstreams)} servers")
            return
        if options.accept is not None:
            asyncio.run(accept(config, options.accept))
            return
        logging.basicConfig(
            level=config.log_level.upper(),
            stream=sys.stderr,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
        run(config, options.config)
    except (ConfigError, ValueError) as error:
        sys.exit(f"mcp-gateway: {error}")


def run(config: Config, path: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvloop

    uvloop.run(serve(config, path))


async def serve(config: Config, path: str) -> None:
    allow_files(config.limits.connections)
    gateway = Gateway(config)
    server = _Server(listener.configuration(gateway), gateway)
    await gateway.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    loop.add_signal_handler(signal.SIGHUP, lambda: gateway.background(reload.reload(gateway, path)))
    gateway.background(reload.watch(gateway, path, reload.stamp(path)))
    try:
        await server.serve()
    finally:
        await asyncio.shield(gateway.stop())


async def accept(config: Config, servers: list[str]) -> None:
    """Write the present fingerprints of the given servers (all, when none is given)."""
    path = config.on_drift.accepted_file
    if not path:
        raise ConfigError("on_drift.accepted_file", ["is not set; it is where they are kept"])
    accepted = read_accepted(path)
    config = msgspec.structs.replace(config, audit=Audit(file=os.devnull), on_drift=Drift())
    gateway = Gateway(config)
    await gateway.start()
    try:
        await gateway.wait_until_read()
        for name in servers or list(config.upstreams):
            listing = gateway.upstreams[name].listing if name in gateway.upstreams else None
            if listing is None or not listing.fetched_at:
                print(f"{name}: not reached, nothing accepted", file=sys.stderr)
                continue
            tools = listing.items.get("tools", [])
            accepted[name] = {item.name: item.fingerprint for item in tools}
            print(f"{name}: {len(tools)} tools accepted")
    finally:
        await gateway.stop()
    write_accepted(path, accepted)


class _Server(uvicorn.Server):
    """uvicorn, which first lets streams end and calls finish."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: uvicorn would raise them again and end the process too early."""
        yield

    async def shutdown(self, sockets: object = None) -> None:
        self._gateway.announce_end()
        await asyncio.sleep(self._gateway.config.limits.drain_delay_seconds)
        self._gateway.drain()
        await super().shutdown(sockets)  # type: ignore[arg-type]
