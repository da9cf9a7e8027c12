"""Which header may carry a person's own credential, and what a credential may contain. Pure."""

from __future__ import annotations

import re

# What says how a message is read, where it goes, whose session it is, or where it came from: what
# people choose must not stand there.
TAKEN = frozenset(
    {
        "accept",
        "accept-encoding",
        "baggage",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "last-event-id",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
    }
)
TAKEN_BEGINNINGS = ("mcp-", "proxy-", "sec-", "x-forwarded-")
NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]{1,100}")
PREFIX = re.compile(r"[\x20-\x7E]{0,100}")
# Visible ASCII: nothing that ends a header or begins another one.
MAX_TOKEN = 4096
TOKEN = re.compile(rf"[\x21-\x7E]{{1,{MAX_TOKEN}}}")


def is_taken(header: str) -> bool:
    """Whether a header has a meaning already."""
    name = header.lower()
    return name in TAKEN or name.startswith(TAKEN_BEGINNINGS)


def is_token(text: str) -> bool:
    """Whether somebody's credential can be sent in a header as it is."""
    return bool(TOKEN.fullmatch(text))
