"""Command line: serve, or check a configuration."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys

import uvicorn

from mcp_portal import __version__, site
from mcp_portal.app import build
from mcp_portal.credentials import build as build_credentials
from mcp_portal.problem import Problem
from mcp_portal.settings import Config, ConfigError, Credentials, load


def main(argv: list[str] | None = None) -> None:
    """Entry point of `mcp-portal`."""
    parser = argparse.ArgumentParser(prog="mcp-portal", description="The page for people")
    parser.add_argument("--config", required=True, help="configuration file (YAML)")
    parser.add_argument("--check", action="store_true", help="check the configuration and leave")
    parser.add_argument(
        "--delete-credentials",
        metavar="USER",
        help="delete what sso-... (see the audit log) stored for tool servers, and leave",
    )
    parser.add_argument("--version", action="version", version=__version__)
    options = parser.parse_args(argv)
    logging.basicConfig(
        level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # They would tell each address that is asked, and those of sign-ins have codes in them.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        config = load(options.config)
        if options.delete_credentials:
            print(delete_credentials(config, options.delete_credentials))
            return
        app = build(config)
    except ConfigError as error:
        sys.exit(f"mcp-portal: {error}")
    if options.check:
        print(f"{options.config}: good")
        return
    uvicorn.run(
        app,
        host=config.listen.host,
        port=config.listen.port,
        log_config=None,
        access_log=False,  # paths of one line hold its code
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=config.listen.trusted_proxies or None,
        timeout_graceful_shutdown=10,
    )


def delete_credentials(config: Config, user: str) -> str:
    """Delete everything that somebody stored for tool servers; return what was done."""
    # The audit log has a person's keys, which end in eight digits more.
    found = re.fullmatch(r"sso-([0-9a-f]{16})(-[0-9a-f]{8})?", user)
    if not found:
        raise ConfigError(f"found user {user!r}, expected sso- and 16 hexadecimal digits")
    person = found[1]
    if config.credentials is None:
        raise ConfigError("no server has per_user: nobody stored credentials")
    try:
        personal = site.load(config.site_file).personal
        count = asyncio.run(_deleted(config.credentials, personal, person))
    except Problem as problem:
        raise ConfigError(f"Redis does not answer ({problem.values['reason']})") from None
    return f"sso-{person}: {count} credentials deleted"


async def _deleted(settings: Credentials, audiences: dict[str, str], person: str) -> int:
    store = build_credentials(settings, audiences, callback="")
    try:
        return await store.delete_all(person)
    finally:
        await store.close()
