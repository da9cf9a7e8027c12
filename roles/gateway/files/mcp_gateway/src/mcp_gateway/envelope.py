"""The JSON-RPC envelope, decoded one level deep.

Values stay raw bytes: what the gateway does not have to change, it does not touch. Requests
and answers are always encoded again from what was decoded: only the values of `params`, `result`
and `error` are a client's own bytes, and those were parsed as JSON.
"""

from __future__ import annotations

import msgspec

Fields = dict[str, msgspec.Raw]
RAW_NULL = msgspec.Raw(b"null")
RAW_TRUE = msgspec.Raw(b"true")

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
        # Some servers send `"error": null` beside a result; that is no error.
        self.error = fields.get("error") if fields.get("error") != RAW_NULL else None
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
        """The members of `params`; empty when there are none, as in every response."""
        if self._params is None:
            raw = self.fields.get("params") if self.method is not None else None
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
    if id_ is not None:
        fields["id"] = msgspec.Raw(id_)
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
    _check_kind(message)
    return message


def _check_kind(message: Message) -> None:
    """EnvelopeError unless everybody would take the message for the same kind."""
    fields = message.fields
    if message.method is not None:
        if "result" in fields or "error" in fields:
            raise EnvelopeError(
                INVALID_REQUEST,
                "found a method and a result or error; expected a request or a response",
                message.id,
            )
    elif message.result is not None and message.error is not None:
        raise EnvelopeError(
            INVALID_REQUEST, "found a result and an error; expected one of them", message.id
        )
    elif message.id is None or (message.result is None and message.error is None):
        raise EnvelopeError(INVALID_REQUEST, "expected a method, or an id with result or error")


def _checked_id(fields: Fields) -> bytes | None:
    """The encoded id when it is a string or an integer; EnvelopeError otherwise."""
    if "id" not in fields:
        return None
    try:
        id_ = _encoded_id(fields["id"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EnvelopeError(PARSE_ERROR, "the id is not valid JSON") from None
    if id_ is None and fields["id"] == RAW_NULL and ("result" in fields or "error" in fields):
        return b"null"
    if id_ is None:
        raise EnvelopeError(INVALID_REQUEST, "the id must be a string or an integer")
    return id_


def encoded_id(raw: msgspec.Raw) -> bytes | None:
    """The id in `raw`, decoded and encoded again; None when it can be no id."""
    try:
        return _encoded_id(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _encoded_id(raw: msgspec.Raw) -> bytes | None:
    value = decode_any(raw)
    if isinstance(value, str):
        return encode(value)
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return bytes(raw) if is_integer else None  # digits, and perhaps more than 64 bits of them


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


def says_error(result: msgspec.Raw) -> bool:
    """Whether the result of a tool says that the tool failed."""
    return fields_of(result).get("isError") == RAW_TRUE


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


def response(id_: bytes, answer: Message) -> bytes:
    """The outcome in `answer` under another id, and nothing else that stands in it."""
    if answer.result is not None:
        return result(id_, answer.result)
    return encode({"jsonrpc": "2.0", "id": msgspec.Raw(id_), "error": answer.error})


def one_line(body: bytes) -> bytes:
    """The same document without line breaks, which JSON allows between any two tokens."""
    if b"\n" in body or b"\r" in body:
        return msgspec.json.format(body, indent=-1)
    return body


def result(id_: bytes, value: object) -> bytes:
    """An encoded successful response."""
    return encode({"jsonrpc": "2.0", "id": msgspec.Raw(id_), "result": value})


def error(id_: bytes | None, code: int, message: str, data: object = None) -> bytes:
    """An encoded error response."""
    body: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        body["data"] = data
    return encode({"jsonrpc": "2.0", "id": msgspec.Raw(id_ or b"null"), "error": body})
