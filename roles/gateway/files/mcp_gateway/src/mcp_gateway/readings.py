"""How servers may read the URI of a resource: policy must allow every way. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)?(//[^/?#]*)?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_SLASHES = re.compile(r"/{2,}")
# What decodes to something else this often was written to be read in two ways.
MAX_ROUNDS = 3


def readings(uri: str) -> list[str] | None:
    """The URI as it stands and as it may be understood; None when it can lead anywhere.

    A server may take away percent-encoding, doubled slashes and the fragment, and ignores the case
    of scheme and host. Dot segments, backslashes and control characters have no place in a URI that
    policy is to judge, encoded or not.
    """
    found = [uri]
    current = uri
    for _ in range(MAX_ROUNDS + 1):
        if _leads_anywhere(current):
            return None
        plain = _plain(current)
        found += [reading for reading in (current, plain) if reading not in found]
        if not _ENCODED.search(current):
            return found
        current = unquote(current, errors="replace")
    return None


def _plain(uri: str) -> str:
    match = _PARTS.fullmatch(uri)
    assert match is not None  # every part may be empty
    scheme, host, path, query, _ = match.groups(default="")
    return scheme.lower() + host.lower() + _SLASHES.sub("/", path) + query


def _leads_anywhere(uri: str) -> bool:
    if "\\" in uri or not uri.isprintable():
        return True
    path = uri.partition("?")[0].partition("#")[0]
    return any(segment in (".", "..") for segment in path.split("/"))
