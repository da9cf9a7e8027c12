"""Stage 3: which era does this message speak? Pure decisions over headers and envelope."""

from __future__ import annotations

import base64
import binascii

from mcp_gateway import envelope
from mcp_gateway.eras import (
    LATEST_LEGACY,
    LEGACY_VERSIONS,
    META_CAPABILITIES,
    META_VERSION,
    MODERN_VERSIONS,
    NAME_MEMBER,
)
from mcp_gateway.refusal import Refusal

ROUTING_HEADERS = (b"mcp-protocol-version", b"mcp-method", b"mcp-name")
# The version that a legacy client without a version header means, says the specification.
IMPLIED_LEGACY = "2025-03-26"


def classify(
    message: envelope.Message,
    headers: dict[bytes, bytes],
    raw_headers: list[tuple[bytes, bytes]],
) -> tuple[str, str]:
    """(era, protocol version) of a message; Refusal when a modern one contradicts itself."""
    version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
    if message.method == "initialize" and version not in MODERN_VERSIONS:
        return "legacy", negotiate(envelope.text(message.params.get("protocolVersion")) or "")
    meta = envelope.fields_of(message.params.get("_meta")) if message.method else {}
    if META_VERSION not in meta and (not version or version in LEGACY_VERSIONS):
        return "legacy", version or IMPLIED_LEGACY
    if META_VERSION not in meta and version not in MODERN_VERSIONS:
        raise _unsupported(version, message.id, (*LEGACY_VERSIONS, *MODERN_VERSIONS))
    if message.is_notification or message.is_response:
        if version not in MODERN_VERSIONS:
            raise _unsupported(version, None)
        return "modern", version
    _check_modern(message, meta, headers, raw_headers, version)
    return "modern", version


def _check_modern(
    message: envelope.Message,
    meta: envelope.Fields,
    headers: dict[bytes, bytes],
    raw_headers: list[tuple[bytes, bytes]],
    version: str,
) -> None:
    """The checks that the modern era asks of a server, in its order."""
    id_ = message.id
    for name in ROUTING_HEADERS:
        if sum(1 for n, _ in raw_headers if n == name) > 1:
            raise _mismatch(f"{name.decode()} header appears more than once", id_)
    missing = [k for k in (META_VERSION, META_CAPABILITIES) if k not in meta]
    if missing:
        raise Refusal(
            "envelope",
            400,
            envelope.INVALID_PARAMS,
            f"params._meta lacks {', '.join(missing)}",
            id=id_,
        )
    body_version = envelope.text(meta[META_VERSION])
    if body_version is None or body_version != version:
        raise _mismatch(
            f"mcp-protocol-version header is {version!r}, params._meta says {body_version!r}", id_
        )
    if headers.get(b"mcp-method", b"").decode("latin-1") != message.method:
        raise _mismatch("mcp-method header does not match the body's method", id_)
    member = NAME_MEMBER.get(message.method or "")
    if member is not None:
        name = envelope.text(message.params.get(member))
        if name is not None and decode_header(headers.get(b"mcp-name")) != name:
            raise _mismatch(f"mcp-name header does not match the body's {member}", id_)
    if version not in MODERN_VERSIONS:
        raise _unsupported(version, id_)


def decode_header(value: bytes | None) -> str | None:
    """A header value, unwrapped from the Base64 sentinel where it was wrapped."""
    if value is None:
        return None
    if not (value.startswith(b"=?base64?") and value.endswith(b"?=")):
        return value.decode("latin-1")
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def negotiate(requested: str) -> str:
    """The legacy version to answer `initialize` with."""
    return requested if requested in LEGACY_VERSIONS else LATEST_LEGACY


def _mismatch(message: str, id_: bytes | None) -> Refusal:
    return Refusal("envelope", 400, envelope.HEADER_MISMATCH, message, id=id_)


def _unsupported(
    version: str, id_: bytes | None, supported: tuple[str, ...] = MODERN_VERSIONS
) -> Refusal:
    return Refusal(
        "version",
        400,
        envelope.UNSUPPORTED_VERSION,
        f"Unsupported protocol version: found {version!r}, supported: {', '.join(supported)}",
        data={"supported": list(supported), "requested": version},
        id=id_,
    )
