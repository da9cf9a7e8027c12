"""Between the eras: what a message must gain or lose to be understood on the other side. Pure."""

from __future__ import annotations

import msgspec

from mcp_gateway import envelope
from mcp_gateway.eras import CACHEABLE, LATEST_MODERN, META_LOG_LEVEL
from mcp_gateway.schemas import TOKEN
from mcp_gateway.upstreams.base import Hello

_MODERN_PREFIX = "io.modelcontextprotocol/"
COMPLETE = msgspec.Raw(b'"complete"')


def params_to_legacy(params: envelope.Fields) -> envelope.Fields:
    """Params without what only the modern era knows."""
    out = {k: v for k, v in params.items() if k not in ("inputResponses", "requestState")}
    if "_meta" in out:
        meta = {
            k: v
            for k, v in envelope.fields_of(out["_meta"]).items()
            if not k.startswith(_MODERN_PREFIX)
        }
        out["_meta"] = envelope.raw(meta)
        if not meta:
            del out["_meta"]
    return out


def params_to_modern(
    params: envelope.Fields, hello: Hello, log_level: str | None = None
) -> envelope.Fields:
    """Params with the `_meta` that each modern request carries."""
    meta = envelope.fields_of(params.get("_meta"))
    meta |= msgspec.structs.replace(hello, version=LATEST_MODERN).meta()
    if log_level is not None:
        meta[META_LOG_LEVEL] = envelope.raw(log_level)
    return {**params, "_meta": envelope.raw(meta)}


def result_to_modern(method: str, result: msgspec.Raw) -> envelope.Fields:
    """A legacy result with the members that the modern era requires."""
    fields = envelope.fields_of(result)
    fields.setdefault("resultType", COMPLETE)
    if method in CACHEABLE:
        fields.setdefault("ttlMs", envelope.raw(0))
        fields.setdefault("cacheScope", envelope.raw("private"))
    return fields


def is_input_required(message: envelope.Message) -> bool:
    """Whether a modern response asks the client for something."""
    if message.result is None or b"input_required" not in bytes(message.result):
        return False
    return envelope.text(envelope.fields_of(message.result).get("resultType")) == "input_required"


def supports(capabilities: bytes | msgspec.Raw, method: str) -> bool:
    """Whether a client with these capabilities answers this kind of request."""
    member = {
        "sampling/createMessage": "sampling",
        "elicitation/create": "elicitation",
        "roots/list": "roots",
    }.get(method)
    if member is None:
        return method == "ping"
    return member in envelope.fields_of(msgspec.Raw(bytes(capabilities)))


def header_map(schema: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """Where a tool's schema asks for arguments to be mirrored as `Mcp-Param-*` headers."""
    found: dict[tuple[str, ...], str] = {}
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        return found
    for name, sub in schema["properties"].items():
        if not isinstance(sub, dict):
            continue
        token = sub.get("x-mcp-header")
        is_primitive = sub.get("type") in ("string", "integer", "boolean")
        if isinstance(token, str) and TOKEN.fullmatch(token) and is_primitive:
            found[(*path, name)] = token
        found |= header_map(sub, (*path, name))
    return found


def param_headers(mapping: dict[tuple[str, ...], str], arguments: object) -> list[tuple[str, str]]:
    """The `Mcp-Param-*` headers of a call, values not yet encoded for the wire."""
    headers = []
    for path, token in mapping.items():
        value = arguments
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, bool):
            headers.append((f"Mcp-Param-{token}", "true" if value else "false"))
        elif isinstance(value, str | int):
            headers.append((f"Mcp-Param-{token}", str(value)))
    return headers
