# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Attacks that verify tries, against services that refuse them and services that do not."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import intruders

KEY = "sk-of-a-member"
ATTACKS = [attack for attacks in intruders.MEMBER_ATTACKS.values() for attack in attacks]


@pytest.fixture
def litellm(service):
    """A LiteLLM that lets this key list models, and nothing else."""
    forbidden = (403, {"error": {"message": "Virtual key is not allowed to call this route"}})
    for attack in ATTACKS:
        service.replies[attack.method, attack.path.split("?")[0]] = forbidden
    service.replies["GET", "/v1/models"] = lambda exchange: (
        (200, {"data": []}) if exchange.headers["authorization"] == f"Bearer {KEY}" else (401, {})
    )
    return service


def tried(service, key=KEY):
    rows = intruders.litellm("litellm", {"url": service.url, "api_key": key, "timeout": 5})
    return {row.check.removeprefix("litellm "): row for row in rows}


def test_a_litellm_that_refuses_everything_passes(litellm):
    rows = tried(litellm)
    assert list(rows) == list(intruders.MEMBER_ATTACKS)
    assert {row.status for row in rows.values()} == {"passed"}
    assert len(litellm.exchanges) == 1 + len(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.path)
@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_each_attack_that_is_let_through_is_named(litellm, attack, status):
    """A 404 or 400 of LiteLLM itself comes from behind the check that should have refused."""
    path = attack.path.split("?")[0]
    before = litellm.replies[attack.method, path]
    said = (status, {"error": {"message": "x"}})

    def answer(exchange):
        body = exchange.json() if exchange.body else None
        return said if body == attack.body else before

    litellm.replies[attack.method, path] = answer
    failed = [row for row in tried(litellm).values() if row.status == "failed"]
    assert [f"{attack.about}: HTTP {status}" in row.found for row in failed] == [True]
    assert "allowed_routes" in failed[0].action


def test_a_path_that_a_version_does_not_have_is_no_hole(litellm):
    litellm.replies["GET", "/credentials"] = (404, {"detail": "Not Found"})
    litellm.replies["GET", "/spend/keys"] = (405, {"detail": "Method Not Allowed"})
    assert {row.status for row in tried(litellm).values()} == {"passed"}


def test_a_key_that_opens_nothing_proves_nothing(litellm):
    rows = tried(litellm, key="sk-revoked")
    assert {row.status for row in rows.values()} == {"unknown"}


@pytest.fixture
def gateway(service):
    """A gateway that refuses, and tells everybody its name."""

    def mcp(exchange):
        if "intruder" in exchange.headers["host"]:
            return 421, {}
        if "intruder" in exchange.headers.get("origin", ""):
            return 403, {}
        message = exchange.json()
        if message.get("method") == "initialize":
            return 200, {"result": {}}, {"Mcp-Session-Id": "s1"}
        assert exchange.headers["mcp-session-id"] == "s1"
        return 400, {"error": {}}

    service.replies["POST", "/mcp"] = mcp
    service.replies["DELETE", "/mcp"] = (200, {})
    about = {"name": "gateway", "status": "ready", "endpoints": {"mcp": "/mcp"}}
    service.replies["GET", "/"] = (200, about)
    service.replies["GET", "/ready"] = (200, {"status": "ready"})
    service.replies["GET", "/metrics"] = (401, {"error": "for the monitoring"})
    return service


def attacked(service, servers=("example", "files")):
    params = {"url": service.url, "key": KEY, "servers": list(servers), "timeout": 5}
    params["pages"] = ["/", "/ready", "/metrics"]
    return {row.check: row for row in intruders.gateway("gateway", params)}


def test_a_gateway_that_refuses_passes_and_its_session_is_closed(gateway):
    assert {row.status for row in attacked(gateway).values()} == {"passed"}
    assert len(gateway.seen("DELETE", "/mcp")) == 1
    assert {row.status for row in attacked(gateway, servers=()).values()} == {"passed"}


def test_an_injected_request_that_is_taken_fails(gateway):
    refusing = gateway.replies["POST", "/mcp"]
    gateway.replies["POST", "/mcp"] = lambda exchange: (
        (202, b"") if b'"id": "s:' in exchange.body else refusing(exchange)
    )
    row = attacked(gateway)["gateway a response carries no request"]
    assert (row.status, row.found) == ("failed", "a request in the id: HTTP 202")


def test_a_gateway_without_a_session_for_the_key_is_no_verdict(gateway):
    gateway.replies["POST", "/mcp"] = (401, {"error": "no"})
    row = attacked(gateway)["gateway a response carries no request"]
    assert row.status == "unknown" and "HTTP 401" in row.found


def test_an_entry_that_knows_no_such_name_refuses_it_and_no_origin(gateway):
    gateway.replies["POST", "/mcp"] = lambda exchange: (404, b"404 page not found")
    row = attacked(gateway)["gateway foreign hosts and origins are refused"]
    assert row.found == "Origin: HTTP 404"


def test_any_host_is_too_many(gateway):
    gateway.replies["POST", "/mcp"] = lambda exchange: (401, {}, {"Mcp-Session-Id": "s1"})
    row = attacked(gateway)["gateway foreign hosts and origins are refused"]
    assert row.found == "Host: HTTP 401; Origin: HTTP 401"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"name": "x", "status": "ready", "servers": {}}, "HTTP 200 with servers"),
        (b'upstream_up{server="example"} 1', "HTTP 200 with example"),
        (b'peer{url="http://10.1.2.3:8080"} 1', "HTTP 200 with 10.1.2.3:8080"),
    ],
)
def test_pages_that_tell_too_much_fail(gateway, body, found):
    gateway.replies["GET", "/metrics"] = (200, body)
    row = attacked(gateway)["gateway /metrics discloses nothing without a key"]
    assert (row.status, row.found) == ("failed", found)


def test_servers_that_are_missing_are_named_to_nobody(gateway):
    gateway.replies["GET", "/ready"] = (503, {"status": "waiting", "servers_down": ["files"]})
    row = attacked(gateway)["gateway /ready discloses nothing without a key"]
    assert (row.status, row.found) == ("failed", "HTTP 503 with files")


def ports(monkeypatch, listening, flows, source="10.9.9.9"):
    monkeypatch.setattr(intruders, "source_to", lambda _address: source)
    managed = [listening, 1]
    params = {"address": "127.0.0.1", "managed": managed, "flows": flows}
    (row,) = intruders.ports("ports", params)
    return row.status, row.found


def test_a_port_that_no_flow_opens_to_here_must_be_closed(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        flow = {"port": port, "sources": ["10.0.0.0/8"]}
        assert ports(monkeypatch, port, [flow]) == ("passed", "none is open")
        other = {"port": port, "sources": ["10.1.0.0/16"]}
        expected = ("failed", f"open though undeclared: {port}")
        assert ports(monkeypatch, port, [other]) == expected
        assert ports(monkeypatch, port, [], source=None)[0] == "not_applicable"


def test_a_host_that_is_the_control_node_is_not_asked():
    params = {"address": "127.0.0.1", "managed": [1], "flows": []}
    (row,) = intruders.ports("ports", params)
    assert row.status == "not_applicable" and "reaches itself" in row.found
