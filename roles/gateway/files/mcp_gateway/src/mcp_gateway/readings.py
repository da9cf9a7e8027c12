"""How servers may read the URI of a resource: policy must allow every way. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)?(//[^/?#]*)?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_AUTHORITY = re.compile(r"/*([^/?]*)(.*)", re.DOTALL)
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_SLASHES = re.compile(r"/{2,}")
# What decodes to something else this often was written to be read in two ways.
MAX_ROUNDS = 3
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}


def readings(uri: str) -> list[str] | None:
    """The URI as it stands and as it may be understood; None when it can lead anywhere.

    A server may take away percent-encoding, doubled slashes and the fragment, and ignores the case
    of scheme and host; it may read what browsers know as they do. Dot segments, backslashes and
    control characters have no place in a URI that policy is to judge, encoded or not, and blanks
    have none around it.
    """
    if uri != uri.strip():
        return None
    found = [uri]
    current = uri
    for _ in range(MAX_ROUNDS + 1):
        if _is_ambiguous(current):
            return None
        plain = _plain(current)
        candidates = (current, plain, _as_browsers_do(plain))
        found += [reading for reading in candidates if reading not in found]
        if not _ENCODED.search(current):
            return found
        current = unquote(current, errors="replace")
    return None


def _plain(uri: str) -> str:
    match = _PARTS.fullmatch(uri)
    assert match is not None  # every part may be empty
    scheme, host, path, query, _ = match.groups(default="")
    return scheme.lower() + host.lower() + _SLASHES.sub("/", path) + query


def _as_browsers_do(uri: str) -> str:
    """A URI of a scheme that browsers know, as they read it; of a file its path alone counts."""
    scheme, _, rest = uri.partition(":")
    if scheme == "file":
        path = rest if not rest.startswith("//") else rest[2:].partition("/")[2]
        return "file:///" + path.partition("?")[0].lstrip("/")
    if scheme not in _DEFAULT_PORTS:
        return uri
    authority, path = _AUTHORITY.fullmatch(rest).groups()  # type: ignore[union-attr]
    host = authority.rpartition("@")[2].removesuffix(f":{_DEFAULT_PORTS[scheme]}").rstrip(".")
    return f"{scheme}://{host}{'' if path.startswith('/') else '/'}{path}"


def _is_ambiguous(uri: str) -> bool:
    if "\\" in uri or not uri.isprintable():
        return True
    path = uri.partition("?")[0].partition("#")[0]
    return any(segment in (".", "..") for segment in path.split("/"))
