"""The gateway behind a proxy: `public_url` may have a path; requests come with or without it.

And which addresses keep what is sent there from being read on its way.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

METADATA = "/.well-known/oauth-protected-resource"
MCP_PATH = re.compile(r"(?:/servers/([a-z][a-z0-9_-]{0,31}))?/(mcp|sse|messages)/?")
PAGES = ("/", "/health", "/ready", "/metrics")


def path_prefix(public_url: str | None) -> str:
    """The path under which callers see the gateway; empty for the root of its host."""
    return urlsplit(public_url or "").path.rstrip("/")


def local_path(path: str, prefix: str) -> str:
    """A request's path as the gateway knows it, whether or not the proxy stripped the prefix."""
    if not prefix:
        return path
    if path == METADATA + prefix or path.startswith(f"{METADATA}{prefix}/"):
        return METADATA + path[len(METADATA + prefix) :]
    if MCP_PATH.fullmatch(path) or path in PAGES:
        return path
    if path == prefix or path.startswith(prefix + "/"):
        return path[len(prefix) :] or "/"
    return path


def metadata_url(base: str, path: str) -> str:
    """Where RFC 9728 wants the metadata of `base` + `path`: before the path, not behind it."""
    parts = urlsplit(base)
    resource = parts.path.rstrip("/") + (path if path != "/" else "")
    return f"{parts.scheme}://{parts.netloc}{METADATA}{resource}"


def is_loopback(host: str) -> bool:
    """Whether `host` can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_protected(url: str) -> bool:
    """Whether nobody reads what is sent there on its way: https, or this machine."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:  # no address, or no port
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    )
