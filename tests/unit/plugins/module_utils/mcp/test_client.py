# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Trouble that real servers do not make on demand; sessions with one are in tests/integration."""

from __future__ import annotations

import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import client


@pytest.fixture
def http(service):
    return HttpClient(service.url + "/mcp", "the MCP server", "url", timeout=2)


def result(exchange, content: dict):
    return 200, {"jsonrpc": "2.0", "id": exchange.json().get("id"), "result": content}


def legacy_server(exchange):
    """A server of 2025 that knows nothing of the modern era."""
    message = exchange.json()
    if message["method"] == "initialize":
        info = {"name": "old", "version": "1"}
        return *result(exchange, {"protocolVersion": "2025-06-18", "serverInfo": info}), {
            "Mcp-Session-Id": "s1"
        }
    if exchange.headers.get("mcp-session-id") != "s1":
        return 400, {"jsonrpc": "2.0", "id": "server-error", "error": {"code": -32600}}
    if "id" not in message:
        return 202, b""
    return result(exchange, {"tools": [{"name": "a"}]})


def test_auto_falls_back_to_a_legacy_server(http, service):
    service.replies["POST", "/mcp"] = legacy_server
    with client.session(http, "streamable_http", "auto", "2025-11-25") as session:
        assert (session.era, session.version) == ("legacy", "2025-06-18")
        assert [tool["name"] for tool in session.tools()] == ["a"]
    listing = service.seen("POST", "/mcp")[-1]
    assert listing.headers["mcp-protocol-version"] == "2025-06-18"
    assert service.seen("DELETE", "/mcp")[0].headers["mcp-session-id"] == "s1"


def test_era_that_is_asked_for_and_not_spoken_is_an_error(http, service):
    service.replies["POST", "/mcp"] = legacy_server
    with (
        pytest.raises(client.NotServed, match="modern era"),
        client.session(http, "streamable_http", "modern", "2025-11-25"),
    ):
        pass


def test_tools_are_read_page_by_page(http, service):
    def paged(exchange):
        message = exchange.json()
        if message["method"] == "server/discover":
            return result(exchange, {"supportedVersions": [client.MODERN_VERSION]})
        cursor = message["params"].get("cursor")
        return result(
            exchange,
            {"tools": [{"name": "b"}]} if cursor else {"tools": [{"name": "a"}], "nextCursor": "2"},
        )

    service.replies["POST", "/mcp"] = paged
    with client.session(http, "streamable_http", "auto", "2025-11-25") as session:
        assert [tool["name"] for tool in session.tools()] == ["a", "b"]
    assert service.exchanges[-1].headers["mcp-method"] == "tools/list"


def test_answer_is_picked_out_of_a_stream_with_other_messages(http, service):
    def streamed(exchange):
        request = {"jsonrpc": "2.0", "id": exchange.json()["id"], "method": "ping"}
        answer = {"jsonrpc": "2.0", "id": exchange.json()["id"], "result": {"ok": 1}}
        events = [
            b": keep-alive\r\n\r\n",
            b"data: " + json.dumps(request).encode() + b"\n\n",
            b"event: message\ndata: " + json.dumps(answer).encode() + b"\n\n",
        ]
        return 200, events, {"Content-Type": "text/event-stream"}

    service.replies["POST", "/mcp"] = streamed
    assert client.Session(client.StreamableHttp(http), "legacy").request("x", {}) == {"ok": 1}


def test_stream_that_only_says_it_is_alive_times_out(http, service):
    http.timeout = 0.2

    def endless():
        while True:
            yield b": still here\n\n"

    service.replies["POST", "/mcp"] = 200, endless(), {"Content-Type": "text/event-stream"}
    with pytest.raises(errors.TimedOut):
        client.Session(client.StreamableHttp(http), "legacy").request("x", {})


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((401, b"no"), errors.Unauthorized),
        ((403, b"no"), errors.Unauthorized),
        ((404, b"<html>"), errors.Unknown),
        ((400, {"error": {"message": "not json-rpc"}}), errors.Refused),
        ((502, b"bad gateway"), errors.Unexpected),
        ((200, b"<html>welcome</html>"), errors.Unexpected),
        ((404, {"error": {"code": -32601, "message": "no"}, "id": 1}), client.RpcError),
    ],
)
def test_answers_that_are_no_result_become_errors(http, service, reply, error):
    service.replies["POST", "/mcp"] = reply
    with pytest.raises(error):
        client.Session(client.StreamableHttp(http), "legacy").request("x", {})


def test_key_is_not_sent_to_a_message_endpoint_elsewhere(http, service):
    event = b"event: endpoint\ndata: http://evil.example/messages\n\n"
    service.replies["GET", "/mcp"] = 200, [event], {"Content-Type": "text/event-stream"}
    with pytest.raises(errors.Unexpected, match="another origin"):
        client.Sse(http).open()


def test_arguments_travel_in_headers_where_the_schema_says_so():
    schema = {
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "dry": {"type": "boolean", "x-mcp-header": "Dry"},
            "nested": {"properties": {"id": {"type": "integer", "x-mcp-header": "Id"}}},
            "text": {"type": "string"},
        }
    }
    arguments = {"region": "Zürich", "dry": True, "nested": {"id": 7}, "text": "x"}
    assert client._parameter_headers(schema, arguments) == {
        "Mcp-Param-Region": "=?base64?WsO8cmljaA==?=",
        "Mcp-Param-Dry": "true",
        "Mcp-Param-Id": "7",
    }
