"""What a token may contain. Pure; the gateway expects the same (`mcp_gateway.ownheader`)."""

from __future__ import annotations

import re

# Visible ASCII: nothing that ends a header or begins another one.
MAX_TOKEN = 4096
TOKEN = re.compile(rf"[\x21-\x7E]{{1,{MAX_TOKEN}}}")


def is_token(value: object) -> bool:
    """Whether this is text that a header can carry as it is."""
    return isinstance(value, str) and bool(TOKEN.fullmatch(value))
