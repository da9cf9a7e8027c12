# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probe_service

HTTP = {"service": "the gateway", "status": 200, "contains": "", "ca": "", "timeout": 5}
HTTP |= {"location": ""}


@pytest.mark.parametrize(
    ("reply", "status"),
    [((200, b"connected"), "passed"), ((503, b"connected"), "failed"), ((200, b"no"), "failed")],
)
def test_status_and_words_of_an_answer_count(service, reply, status):
    service.replies["GET", "/health"] = reply
    params = {**HTTP, "url": service.url + "/health", "contains": "connected"}
    (row,) = probe_service.http("health", params)
    assert row.status == status and row.milliseconds >= 0
    assert (row.action == "read the log of the gateway") == (status == "failed")


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ({"Location": "https://sso.example.internal/auth?state=hidden"}, "passed"),
        ({"Location": "https://sso.example.internal/auth"}, "passed"),
        ({"Location": "https://sso.example.internal/authors?state=hidden"}, "failed"),
        ({"Location": "/login"}, "failed"),
        ({}, "failed"),
    ],
)
def test_where_a_redirect_leads_counts_and_not_its_query(service, location, status):
    service.replies["GET", "/login"] = (302, b"", location)
    expected = {"status": 302, "location": "https://sso.example.internal/auth"}
    (row,) = probe_service.http("login", {**HTTP, **expected, "url": f"{service.url}/login"})
    assert row.status == status and "hidden" not in str(row.as_row())
    assert expected["location"] in row.expected


def test_a_service_that_is_away_says_what_to_do(closed_port):
    with pytest.raises(errors.Unreachable, match="start the gateway"):
        probe_service.http("health", {**HTTP, "url": closed_port})


@pytest.mark.parametrize(
    ("statuses", "status"),
    [((401, 401, 200), "passed"), ((200, 401, 200), "failed"), ((401, 200, 200), "failed")],
)
def test_a_page_is_for_those_with_the_login(service, statuses, status):
    answers = iter(statuses)
    service.replies["GET", "/p"] = lambda _exchange: (next(answers), b"")
    params = {"service": "the load balancer", "ca": "", "timeout": 5, "user": "admin", "key": "k3y"}
    (row,) = probe_service.page("page", {**params, "url": f"{service.url}/p"})
    assert row.status == status
    assert "k3y" not in str(row.as_row())
    sent = [exchange.headers.get("authorization") for exchange in service.exchanges]
    assert sent[0] is None and sent[2] == "Basic YWRtaW46azN5"


def test_a_model_is_loaded_where_none_is_in_memory(service):
    service.replies["GET", "/api/ps"] = (200, {"models": []})
    service.replies["POST", "/api/generate"] = (200, {"done": True})
    options = {"url": service.url, "model": "qwen3:8b", "embeds_only": False, "timeout": 5}
    options["context"] = 8192
    (row,) = probe_service.gpu("GPU gpu1", options)
    assert row.status == "unknown"  # this service drops it at once
    (load,) = [exchange for exchange in service.exchanges if exchange.method == "POST"]
    assert load.json()["options"] == {"num_ctx": 8192}, "else requests would load it again"
    assert b"keep_alive" not in load.body  # it stays for as long as the site lets models stay


SESSION = {
    "era": "modern",
    "protocol_version": "2026-07-28",
    "server": {"name": "s", "version": "1"},
    "tools": ["a", "b"],
    "latency_ms": {"open": 2.0, "list": 1.0, "call": 40.0},
}


def test_a_session_and_each_check_of_it_are_rows():
    checks = [
        {"name": "tools", "era": "modern", "status": "passed", "found": ["a", "b"], "expected": []},
        {"name": "call", "era": "modern", "status": "passed", "found": "x\ny", "expected": "z"},
        {
            "name": "denies_call_a__b",
            "era": "modern",
            "status": "failed",
            "found": "let in",
            "expected": "refused",
            "action": "close it",
        },
    ]
    session, tools, call, denied = probe_service.mcp_rows("mcp s", [SESSION], checks)
    assert session.found == "s 1, 2026-07-28, 2 tools" and session.milliseconds == 3.0
    assert tools.found == "2 names, as expected"
    assert (call.found, call.milliseconds) == ("x y", 40.0)
    assert denied.check == "mcp s denies call of a__b"
    assert denied.action == "close it"
