"""The JSON-RPC envelope, decoded one level deep.

Values stay raw bytes: what the gateway does not have to change, it does not touch. Requests are
always encoded again from what was decoded, so an upstream never sees a duplicate member that the
gateway judged differently.
"""

from __future__ import annotations

import msgspec

Fields = dict[str, msgspec.Raw]
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
_EXACT = {
    names: {name.casefold(): name for name in names}
    for names in (ENVELOPE_MEMBERS, PARAMS_MEMBERS, REF_MEMBERS)
}
RAW_NULL = msgspec.Raw(b"null")

decode_fields = msgspec.json.Decoder(Fields).decode
decode_any = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
# Of our own; outside the range that JSON-RPC and MCP reserve.
REFUSED = -31001
UPSTREAM_FAILED = -31002
BUSY = -31003


class Message:
    """One JSON-RPC message: request, notification or response."""

    __slots__ = ("_params", "error", "fields", "id", "method", "result")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.id: bytes | None = bytes(fields["id"]) if "id" in fields else None
        self.method: str | None = None
        self.result = fields.get("result")
        self.error = fields.get("error")
        self._params: Fields | None = None
        if "method" in fields:
            self.method = _decode_text(fields["method"])

    @property
    def is_request(self) -> bool:
        return self.method is not None and self.id is not None

    @property
    def is_notification(self) -> bool:
        return self.method is not None and self.id is None

    @property
    def is_response(self) -> bool:
        return self.method is None

    @property
    def params(self) -> Fields:
        """The members of `params`; empty when there are none."""
        if self._params is None:
            raw = self.fields.get("params")
            self._params = decode_fields(raw) if raw is not None and raw != RAW_NULL else {}
        return self._params

    def __repr__(self) -> str:
        return f"<Message {self.method or 'response'} id={self.id!r}>"


class EnvelopeError(Exception):
    """The body is not one JSON-RPC message; carries the JSON-RPC code to answer with."""

    def __init__(self, code: int, message: str, id: bytes | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.id = id


def parse(body: bytes | bytearray | memoryview) -> Message:
    """The message in `body`; EnvelopeError when it is not exactly one."""
    try:
        fields = decode_fields(body)
    except msgspec.ValidationError:
        raise EnvelopeError(
            INVALID_REQUEST, "expected one JSON-RPC message object (batches are not supported)"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EnvelopeError(PARSE_ERROR, "the body is not valid JSON") from None
    id_ = _checked_id(fields)
    if fields.get("jsonrpc") != msgspec.Raw(b'"2.0"'):
        raise EnvelopeError(INVALID_REQUEST, 'member jsonrpc must be "2.0"', id_)
    try:
        message = Message(fields)
        if message.method is not None:
            message.params  # noqa: B018  decode now: a wrong shape is the sender's mistake
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EnvelopeError(
            INVALID_REQUEST, "method must be a string and params an object", id_
        ) from None
    if message.is_response and (message.id is None or not (message.result or message.error)):
        raise EnvelopeError(INVALID_REQUEST, "expected a method, or an id with result or error")
    return message


def parse_from_client(body: bytes | bytearray | memoryview) -> Message:
    """As `parse`; EnvelopeError also when a member is a known one in another spelling."""
    message = parse(body)
    _check_spelling(message, message.fields, ENVELOPE_MEMBERS, "the message")
    if message.method is not None and message.params:
        _check_spelling(message, message.params, PARAMS_MEMBERS, "params")
        if "ref" in message.params:
            _check_spelling(message, fields_of(message.params["ref"]), REF_MEMBERS, "params.ref")
    return message


def _check_spelling(message: Message, fields: Fields, names: tuple[str, ...], where: str) -> None:
    exact = _EXACT[names]
    for member in fields:
        known = exact.get(member.casefold(), member)
        if known != member:
            raise EnvelopeError(
                INVALID_REQUEST,
                f"{where} has a member {member!r}; expected {known!r}, in this spelling",
                message.id,
            )


def _checked_id(fields: Fields) -> bytes | None:
    """The raw id when it is a string or an integer; EnvelopeError otherwise."""
    if "id" not in fields:
        return None
    raw = bytes(fields["id"])
    try:
        value = decode_any(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EnvelopeError(PARSE_ERROR, "the id is not valid JSON") from None
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return raw
    if value is None and ("result" in fields or "error" in fields):
        return raw
    raise EnvelopeError(INVALID_REQUEST, "the id must be a string or an integer")


def text(raw: msgspec.Raw | None) -> str | None:
    """The string in `raw`, or None when it is something else."""
    if raw is None:
        return None
    try:
        return _decode_text(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def fields_of(raw: msgspec.Raw | None) -> Fields:
    """The members of the object in `raw`; empty when it is not an object."""
    if raw is None:
        return {}
    try:
        return decode_fields(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def raw(value: object) -> msgspec.Raw:
    """`value` encoded once, to be embedded in a larger document."""
    return msgspec.Raw(encode(value))


def request(id_: bytes, method: str, params: Fields | None) -> bytes:
    """An encoded request."""
    body: dict[str, object] = {"jsonrpc": "2.0", "id": msgspec.Raw(id_), "method": method}
    if params is not None:
        body["params"] = params
    return encode(body)


def notification(method: str, params: object = None) -> bytes:
    """An encoded notification."""
    body: dict[str, object] = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        body["params"] = params
    return encode(body)


def result(id_: bytes, value: object) -> bytes:
    """An encoded successful response."""
    return encode({"jsonrpc": "2.0", "id": msgspec.Raw(id_), "result": value})


def error(id_: bytes | None, code: int, message: str, data: object = None) -> bytes:
    """An encoded error response."""
    body: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        body["data"] = data
    return encode({"jsonrpc": "2.0", "id": msgspec.Raw(id_ or b"null"), "error": body})
