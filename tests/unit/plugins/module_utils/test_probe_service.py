# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils import _errors, _probe_service

HTTP = {"service": "the gateway", "status": 200, "contains": "", "ca": "", "timeout": 5}
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)  # noqa: UP017


@pytest.mark.parametrize(
    ("reply", "status"),
    [((200, b"connected"), "passed"), ((503, b"connected"), "failed"), ((200, b"no"), "failed")],
)
def test_status_and_words_of_an_answer_count(service, reply, status):
    service.replies["GET", "/health"] = reply
    params = {**HTTP, "url": service.url + "/health", "contains": "connected"}
    (row,) = _probe_service.http("health", params)
    assert row["status"] == status and row["milliseconds"] >= 0
    assert (row["action"] == "read the log of the gateway") == (status == "failed")


def test_a_service_that_is_away_says_what_to_do(closed_port):
    with pytest.raises(_errors.Unreachable, match="start the gateway"):
        _probe_service.http("health", {**HTTP, "url": closed_port})


@pytest.mark.parametrize(
    ("days", "status", "word"),
    [(21, "passed", "expires"), (20, "failed", "expires"), (-1, "failed", "expired")],
)
def test_a_certificate_must_last_a_while(days, status, word):
    row = _probe_service.judge_validity("c", NOW + timedelta(days=days, hours=1), NOW, 21)
    assert row["status"] == status and row["found"].startswith(word)


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
    session, tools, call, denied = _probe_service.mcp_rows("mcp s", [SESSION], checks)
    assert session["found"] == "s 1, 2026-07-28, 2 tools" and session["milliseconds"] == 3.0
    assert tools["found"] == "2 names, as expected"
    assert (call["found"], call["milliseconds"]) == ("x y", 40.0)
    assert denied["name"] == "mcp s denies call of a__b"
    assert denied["action"] == "close it"
