"""How names of one server appear among the names of all."""

from __future__ import annotations

import hashlib
import re

SEPARATOR = "__"
VALID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INVALID_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")
_PREFIXED_URI = re.compile(r"([a-z][a-z0-9.-]{0,31})\+(.+)", re.DOTALL)


def exposed(server: str, name: str) -> str:
    """The aggregated name of a tool or prompt.

    `SERVER__NAME`; a name that clients would reject keeps its readable part and gets a hash, so it
    stays the same on every replica and after every restart.
    """
    plain = f"{server}{SEPARATOR}{name}"
    return plain if VALID.fullmatch(plain) else hashed(server, name)


def hashed(server: str, name: str) -> str:
    """The aggregated name with a hash of the original: for invalid and colliding names."""
    digest = hashlib.sha256(f"{server}\0{name}".encode()).hexdigest()[:8]
    readable = _INVALID_CHARACTER.sub("_", f"{server}{SEPARATOR}{name}")
    return f"{readable[:55]}_{digest}"


def split(name: str) -> tuple[str, str] | None:
    """(server, original name) as the aggregated name suggests; None without a server part."""
    server, separator, original = name.partition(SEPARATOR)
    return (server, original) if separator and server and original else None


def exposed_uri(server: str, uri: str) -> str:
    """The URI of a resource whose plain URI another server already has: `SERVER+URI`."""
    return f"{server.replace('_', '.')}+{uri}"


def split_uri(uri: str) -> tuple[str, str] | None:
    """(server, original URI) of a prefixed URI; None for a plain one."""
    match = _PREFIXED_URI.fullmatch(uri)
    return (match[1].replace(".", "_"), match[2]) if match else None


class Template:
    """An RFC 6570 URI template, as far as needed to tell which URIs it may expand to.

    Matching goes from left to right and never back: templates come from servers, and a regular
    expression made from a hostile one could take forever.
    """

    def __init__(self, template: str) -> None:
        self._literals = re.split(r"\{[^{}]*\}", template[:2000])

    def matches(self, uri: str) -> bool:
        first, *rest = self._literals
        if not rest:
            return uri == first
        *middle, last = rest
        end = len(uri) - len(last)
        if not (uri.startswith(first) and uri.endswith(last) and end >= len(first)):
            return False
        position = len(first)
        for literal in middle:
            found = uri.find(literal, position, end)
            if found < 0:
                return False
            position = found + len(literal)
        return True
