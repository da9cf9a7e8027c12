# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a developer does with the platform, from another machine."""

from __future__ import annotations

import http.client
import time

import pytest
from mcp_messages import INITIALIZE, INITIALIZED

LITELLM, GATEWAY = 4000, 8080
CHAT = {
    "model": "smollm2:135m",
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 16,
    "temperature": 0,
}
BOTH = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def key(secrets):
    """Return a developer's virtual key."""
    return secrets["key-first-developer"]


@pytest.mark.parametrize(("port", "path"), [(LITELLM, "/health/liveliness"), (GATEWAY, "/health")])
def test_health_needs_no_key(call, port, path):
    assert call(port, path).status == 200


def test_a_connection_outlives_the_pause_between_two_turns(address):
    """One that the service ends while the next request is on its way costs that request."""
    paths = {LITELLM: "/health/liveliness", GATEWAY: "/health"}
    kept = {port: http.client.HTTPConnection(address, port, timeout=30) for port in paths}
    sockets = set()
    for pause in (6, 0):  # servers of the same kind end idle connections after five seconds
        for port, connection in kept.items():
            connection.request("GET", paths[port])
            response = connection.getresponse()
            assert response.status == 200 and response.read()
            sockets.add(connection.sock)
        time.sleep(pause)  # the pause is what is tested
    assert len(sockets) == len(kept), "a service ended a connection, and the client made a new one"
    assert None not in sockets


def test_a_chat_completion_is_answered_by_the_model(call, key):
    answer = call(LITELLM, "/v1/chat/completions", CHAT, key)
    assert answer.status == 200
    assert answer.body["choices"][0]["message"]["content"].strip()
    assert answer.body["usage"]["completion_tokens"] > 0


def test_an_embedding_is_answered(call, key):
    answer = call(LITELLM, "/v1/embeddings", {"model": "smollm2-embed:135m", "input": "hello"}, key)
    assert answer.status == 200
    assert len(answer.body["data"][0]["embedding"]) > 100


@pytest.mark.parametrize("wrong", [None, "sk-wrong"])
def test_without_a_valid_key_no_model_answers(call, wrong):
    assert call(LITELLM, "/v1/chat/completions", CHAT, wrong).status in (400, 401)


@pytest.mark.parametrize("wrong", [None, "sk-wrong"])
def test_without_a_valid_key_no_tool_answers(call, wrong):
    assert call(GATEWAY, "/mcp", INITIALIZE, wrong, **BOTH).status == 401


@pytest.mark.parametrize(
    ("path", "tool"),
    [("/mcp", "filesystem__list_directory"), ("/servers/filesystem/mcp", "list_directory")],
)
def test_the_filesystem_tool_lists_the_workspace(host, call, key, path, tool):
    host.check_output("install -m 0644 /dev/null /srv/workspace/molecule.txt")
    opened = call(GATEWAY, path, INITIALIZE, key, **BOTH)
    assert opened.status == 200
    session = {**BOTH, "Mcp_Protocol_Version": "2025-06-18"}
    if opened.headers.get("Mcp-Session-Id"):
        session["Mcp_Session_Id"] = opened.headers["Mcp-Session-Id"]
    assert call(GATEWAY, path, INITIALIZED, key, **session).status == 202
    request = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": tool, "arguments": {"path": "/workspace"}},
    }
    answer = call(GATEWAY, path, request, key, **session)
    assert answer.status == 200, answer.body
    assert "molecule.txt" in answer.body["result"]["content"][0]["text"]


def test_the_workspace_cannot_be_written_by_agents(host, containers):
    command = f"docker exec {containers['tool-filesystem']['Id']} touch /workspace/x"
    assert host.run(command).rc != 0
