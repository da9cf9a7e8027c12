"""Which texts every client takes for a URI. Pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\Z")
_OPAQUE_HOST = re.compile(r"[^\s#/:<>?@\[\\\]^|%]+\Z")
_BACKSLASHED_HOST = re.compile(r"file:(?:\\[/\\]|/\\)", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def is_uri(text: str) -> bool:
    """Whether every client takes this for a URI: with a scheme, and a proper host where it has one.

    Version 1 of the Python SDK parses URIs as browsers do and refuses the list otherwise.
    """
    if not _SCHEME.match(text) or not text.isprintable():
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    is_file = parts.scheme == "file"
    is_web = is_file or parts.scheme in ("http", "https", "ws", "wss", "ftp")
    if is_web and ("\\" in parts.netloc or _BACKSLASHED_HOST.match(text)):
        return False  # browsers take it for a slash
    if not parts.netloc or is_file:  # whose host has no port and no user
        return _is_web_host(parts.netloc) if parts.netloc else not is_web or is_file
    host = parts.netloc.rpartition("@")[2]
    host = host.removesuffix(f":{port}") if port is not None else host
    return _is_web_host(host) if is_web else bool(_OPAQUE_HOST.match(host)) or _is_ipv6(host)


def _is_web_host(host: str) -> bool:
    if _is_ipv6(host):
        return True
    last = host.rstrip(".").rpartition(".")[2]
    if last.isdigit() or last.lower().startswith("0x"):  # browsers take it for an IPv4 address
        numbers = host.split(".")
        return len(numbers) == 4 and all(n.isdigit() and int(n) < 256 for n in numbers)
    return bool(_HOST.match(host)) and "xn--" not in host.lower()


def _is_ipv6(host: str) -> bool:
    try:
        return host[:1] == "[" and host[-1:] == "]" and bool(ipaddress.IPv6Address(host[1:-1]))
    except ValueError:
        return False
