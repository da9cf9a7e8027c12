"""What a client sends, with nothing in it that two readers would take for two things."""

from __future__ import annotations

import msgspec

from mcp_gateway import envelope

# What decides where a message goes. Go's decoder, which many servers use, matches names whatever
# their case and lets the last one win: a second spelling would say something else there than here.
ENVELOPE_MEMBERS = ("jsonrpc", "id", "method", "params", "result", "error")
PARAMS_MEMBERS = (
    "_meta",
    "arguments",
    "cursor",
    "inputResponses",
    "level",
    "name",
    "notifications",
    "ref",
    "requestId",
    "requestState",
    "task",
    "taskId",
    "uri",
)
REF_MEMBERS = ("name", "type", "uri")
LISTEN_MEMBERS = (
    "promptsListChanged",
    "resourceSubscriptions",
    "resourcesListChanged",
    "taskIds",
    "toolsListChanged",
)
_EXACT = {
    names: {name.casefold(): name for name in names}
    for names in (ENVELOPE_MEMBERS, PARAMS_MEMBERS, REF_MEMBERS, LISTEN_MEMBERS)
}
# Members of params that the gateway looks into, and may pass on as they are.
_READ_MEMBERS: dict[str, tuple[str, ...]] = {
    "_meta": (),
    "notifications": LISTEN_MEMBERS,
    "ref": REF_MEMBERS,
}


class _Name:
    """A member's name as a key that equals no other, so that a second one is not lost."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_decode_names = msgspec.json.Decoder(
    dict[_Name, msgspec.Raw], dec_hook=lambda _, text: _Name(text)
).decode


def parse(body: bytes | bytearray | memoryview) -> envelope.Message:
    """As `envelope.parse`; EnvelopeError also for what a server might read in another way.

    That is a member that stands there twice, one that is a known one in another spelling, and
    bytes that are not UTF-8 (a decoder may take an overlong quote for a quote).
    """
    body = bytes(body)
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise envelope.EnvelopeError(envelope.PARSE_ERROR, "the body is not UTF-8") from None
    message = envelope.parse(body)
    _check_members(message, body, message.fields, ENVELOPE_MEMBERS, "the message")
    if message.method is not None and message.params:
        params = message.params
        _check_members(message, message.fields["params"], params, PARAMS_MEMBERS, "params")
        for member, names in _READ_MEMBERS.items():
            if member in params:
                inner = envelope.fields_of(params[member])
                _check_members(message, params[member], inner, names, f"params.{member}")
    return message


def _check_members(
    message: envelope.Message,
    raw: bytes | msgspec.Raw,
    fields: envelope.Fields,
    names: tuple[str, ...],
    where: str,
) -> None:
    """EnvelopeError for a member of the object in `raw` that others might take for another one."""
    # Written again it is as long as it was: then nothing was lost, and nobody need look closely.
    if fields and len(envelope.encode(fields)) != len(bytes(raw)):
        _check_unique(message, raw, where)
    if not names:
        return
    exact = _EXACT[names]
    for member in fields:
        known = exact.get(member.casefold(), member)
        if known != member:
            raise envelope.EnvelopeError(
                envelope.INVALID_REQUEST,
                f"{where} has a member {member!r}; expected {known!r}, in this spelling",
                message.id,
            )


def _check_unique(message: envelope.Message, raw: bytes | msgspec.Raw, where: str) -> None:
    seen = set()
    for name in _decode_names(raw):
        if name.text in seen:
            raise envelope.EnvelopeError(
                envelope.INVALID_REQUEST, f"{where} has the member {name.text!r} twice", message.id
            )
        seen.add(name.text)
