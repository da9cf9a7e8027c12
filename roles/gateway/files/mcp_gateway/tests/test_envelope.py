"""The envelope: what is one message, what is not, and nothing in between (with hypothesis)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp_gateway import classify, clientmessage, envelope
from mcp_gateway.refusal import Refusal

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
MEMBERS = st.sampled_from(["jsonrpc", "id", "method", "params", "result"])
IDS = st.integers() | st.text()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff", -32700),
        (b'{"jsonrpc":"2.0","id":"\xff","method":"x"}', -32700),
        (b"[]", -32600),
        (b"3", -32600),
        (b"null", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":3}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":[]}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":"y"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","result":{}}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b"[" * 100_000, -32700),
    ],
)
def test_what_is_not_one_message(body, code):
    with pytest.raises(envelope.EnvelopeError) as caught:
        envelope.parse(body)
    assert caught.value.code == code


@given(IDS, st.text(), st.dictionaries(st.text(), JSON, max_size=5))
def test_a_request_comes_back_as_it_was(id_, method, params):
    sent = {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}
    message = envelope.parse(json.dumps(sent).encode())
    assert message.is_request and message.method == method
    assert json.loads(envelope.encode(message.fields)) == sent
    assert json.loads(envelope.request(message.id, method, message.params)) == sent


@settings(max_examples=150)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_envelope_error(body):
    try:
        envelope.parse(body)
    except envelope.EnvelopeError as error:
        assert error.code in (-32700, -32600)


@settings(max_examples=150)
@given(
    JSON, st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "result"]), JSON)
)
def test_any_json_is_a_message_or_an_envelope_error(value, members):
    for body in (value, {"jsonrpc": "2.0", **members}):
        try:
            message = envelope.parse(json.dumps(body).encode())
        except envelope.EnvelopeError:
            continue
        assert [message.is_request, message.is_notification, message.is_response].count(True) == 1


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from([b"mcp-protocol-version", b"mcp-method", b"mcp-name"]),
        st.sampled_from([b"2026-07-28", b"2025-06-18", b"1900-01-01", b"tools/call", b"\xff", b""]),
    ),
    st.sampled_from(["tools/call", "initialize", "server/discover", "notifications/x"]),
    JSON,
)
def test_every_message_has_an_era_or_a_refusal(headers, method, meta):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta, "name": "x"}}
    message = envelope.parse(json.dumps(body).encode())
    try:
        era, _ = classify.classify(message, headers, list(headers.items()))
    except Refusal as refusal:
        assert refusal.status == 400
    else:
        assert era in ("legacy", "modern")


MODERN = {b"mcp-protocol-version": b"2026-07-28", b"mcp-method": b"tools/call", b"mcp-name": b"t"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def era_of(headers=None, meta=None, method="tools/call", **params):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "t", **params}}
    if meta is not None:
        body["params"]["_meta"] = meta
    headers = MODERN if headers is None else headers
    message = envelope.parse(json.dumps(body).encode())
    return classify.classify(message, headers, list(headers.items()))


@pytest.mark.parametrize(
    ("headers", "meta", "code"),
    [
        (MODERN, None, -32602),
        (MODERN, {**META, "io.modelcontextprotocol/protocolVersion": 3}, -32020),
        ({**MODERN, b"mcp-method": b"tools/list"}, META, -32020),
        ({**MODERN, b"mcp-name": b"other"}, META, -32020),
        ({**MODERN, b"mcp-name": b"=?base64?!!?="}, META, -32020),
        ({k: v for k, v in MODERN.items() if k != b"mcp-name"}, META, -32020),
        ({b"mcp-protocol-version": b"2025-06-18"}, META, -32020),
        ({}, META, -32020),
        ({b"mcp-protocol-version": b"1900-01-01"}, None, -32022),
    ],
)
def test_a_modern_request_that_contradicts_itself_is_refused(headers, meta, code):
    with pytest.raises(Refusal) as caught:
        era_of(headers, meta)
    assert caught.value.code == code and caught.value.status == 400


def test_an_unknown_modern_version_is_told_which_are_known():
    headers = {**MODERN, b"mcp-protocol-version": b"2099-01-01"}
    with pytest.raises(Refusal) as caught:
        era_of(headers, {**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"})
    assert caught.value.code == -32022
    assert caught.value.data == {"supported": ["2026-07-28"], "requested": "2099-01-01"}


def test_an_unknown_version_header_is_named_beside_those_that_are_known():
    with pytest.raises(Refusal) as caught:
        era_of({b"mcp-protocol-version": b"1999-01-01"}, None, "tools/list")
    message = caught.value.message
    assert "found '1999-01-01'" in message
    assert "2024-11-05" in message and "2025-11-25" in message and "2026-07-28" in message


def request_of(**members):
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "t"}}
    return json.dumps({**message, **members}).encode()


@pytest.mark.parametrize(
    "members",
    [
        {"Method": "tools/call"},
        {"PARAMS": {"name": "other"}},
        {"Id": 8},
        {"params": {"name": "t", "Name": "other"}},
        {"params": {"name": "t", "NAME": "other"}},
        {"params": {"Uri": "x"}},
        {"params": {"name": "t", "argument\u017f": {}}},  # Go folds this letter to s
        {"params": {"ta\u017fkId": "x"}},
        {"params": {"tas\u212aId": "x"}},  # and this one to k
        {"params": {"_Meta": {}}},
        {"params": {"requestid": 1}},
        {"params": {"ref": {"type": "ref/prompt", "name": "a", "nAme": "b"}}},
    ],
)
def test_a_known_member_in_another_spelling_is_refused(members):
    with pytest.raises(envelope.EnvelopeError, match="in this spelling") as caught:
        clientmessage.parse(request_of(**members))
    assert caught.value.code == -32600 and caught.value.id == b"7"


def test_other_members_pass_whatever_their_case():
    arguments = {"Name": "x", "name": "y", "URI": 1}
    params = {"name": "t", "arguments": arguments, "Other": 1, "_meta": {"Name": 2}}
    message = clientmessage.parse(request_of(params=params))
    assert json.loads(envelope.encode(message.fields))["params"] == params


def test_eras():
    assert era_of(MODERN, META) == ("modern", "2026-07-28")
    assert era_of({**MODERN, b"mcp-name": b"=?base64?dA==?="}, META) == ("modern", "2026-07-28")
    assert era_of({}, None) == ("legacy", "2025-03-26")
    assert era_of({b"mcp-protocol-version": b"2025-06-18"}, None) == ("legacy", "2025-06-18")
    assert era_of({}, None, "initialize", protocolVersion="2024-11-05") == ("legacy", "2024-11-05")


def test_a_doubled_routing_header_is_refused():
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t"}}
    body["params"]["_meta"] = META
    message = envelope.parse(json.dumps(body).encode())
    with pytest.raises(Refusal, match="more than once"):
        classify.classify(message, MODERN, [*MODERN.items(), (b"mcp-name", b"t")])
