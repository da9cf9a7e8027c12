"""Text of a client as the value of a header. Pure."""

from __future__ import annotations

import base64
import re

SAFE = re.compile(r"([\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?)?")


def header_value(value: str) -> str:
    """`value` as a header may carry it; wrapped in the Base64 sentinel when it must be."""
    if SAFE.fullmatch(value) and not value.startswith("=?base64?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="
