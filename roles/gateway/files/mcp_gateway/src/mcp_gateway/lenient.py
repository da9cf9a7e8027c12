"""Lists that are almost JSON: one bad character must not cost a server all its tools."""

from __future__ import annotations

import json

from mcp_gateway import envelope

# Beyond it a number is infinite to most decoders, and infinity is no JSON.
MAX_NUMBER = 10**308


def decode(data: bytes) -> object:
    """The value in `data`, with U+FFFD for what is no Unicode; ValueError when it is no JSON."""
    try:
        return _clean(json.loads(data.decode("utf-8-sig", "replace"), strict=False))
    except RecursionError:
        raise ValueError("nested too deep") from None


def _clean(value: object) -> object:
    """The value without what no strict decoder takes: lone surrogates, endless numbers."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_clean(v) for v in value]
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in value.items()}
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        return None
    return value


def parse(body: bytes | bytearray | memoryview) -> envelope.Message:
    """As `envelope.parse`, but reads what only a lenient decoder understands (NaN becomes null)."""
    try:
        return envelope.parse(body)
    except envelope.EnvelopeError as error:
        if error.code != envelope.PARSE_ERROR:
            raise
        try:
            return envelope.parse(envelope.encode(decode(bytes(body))))
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise error from None
