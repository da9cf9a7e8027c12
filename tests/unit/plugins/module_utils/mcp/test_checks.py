# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import checks as mcp_checks

NAMES = ["fs_list", "fs_read", "web_open"]


def statuses(checks):
    return [check["status"] for check in checks]


@pytest.mark.parametrize(
    ("expected", "status"),
    [
        ({"exactly": ["web_open", "fs_read", "fs_list"]}, "passed"),
        ({"exactly": ["fs_list"]}, "failed"),
        ({"exactly": []}, "failed"),
        ({"include": ["fs_*", "web_open"]}, "passed"),
        ({"include": ["fs_*", "git_*"]}, "failed"),
        ({"at_least": 3}, "passed"),
        ({"at_least": 4}, "failed"),
    ],
)
def test_tools(expected, status):
    assert statuses(mcp_checks.check_tools(NAMES, **expected)) == [status]


def test_failed_tools_name_what_is_missing_and_what_is_too_much():
    (verdict,) = mcp_checks.check_tools(NAMES, exactly=["fs_list", "fs_read", "git_log"])
    assert "git_log" in verdict["action"] and "web_open" in verdict["action"]


def test_nothing_expected_of_tools_checks_nothing():
    assert mcp_checks.check_tools(NAMES) == []


def test_server_name_may_be_a_glob():
    expected = {"name": "gate*", "version": "2.*"}
    server = {"name": "gateway", "version": "1.0"}
    assert statuses(mcp_checks.check_server(server, expected)) == ["passed", "failed"]


def test_one_slow_step_fails_latency():
    assert statuses(mcp_checks.check_latency({"open": 1, "list": 60}, 50)) == ["failed"]
    assert statuses(mcp_checks.check_latency({"open": 1, "list": 50}, 50)) == ["passed"]


STRUCTURED = {"is_error": False, "text": "two", "structured": {"items": [{"n": 1}, {"n": 2}]}}
JSON_TEXT = {"is_error": False, "text": '{"sum": 3}', "structured": None}


@pytest.mark.parametrize(
    ("result", "expected", "status"),
    [
        (STRUCTURED, {"path": "items.1.n", "equals": 2}, ["passed", "passed"]),
        (STRUCTURED, {"path": "items.1.n", "equals": "2"}, ["passed", "passed"]),
        (STRUCTURED, {"path": "items.1.n", "equals": 3}, ["passed", "failed"]),
        (STRUCTURED, {"path": "items.7.n", "equals": 3}, ["passed", "failed"]),
        (STRUCTURED, {"equals": "two"}, ["passed", "passed"]),
        (STRUCTURED, {"contains": "tw"}, ["passed", "passed"]),
        (STRUCTURED, {"contains": "three"}, ["passed", "failed"]),
        (STRUCTURED, {"path": "items", "contains": '"n": 1'}, ["passed", "passed"]),
        (JSON_TEXT, {"path": "sum", "equals": 3}, ["passed", "passed"]),
        ({**JSON_TEXT, "text": "plain"}, {"path": "sum", "equals": 3}, ["passed", "failed"]),
        ({**STRUCTURED, "is_error": True}, {"equals": "two"}, ["failed"]),
        ({**STRUCTURED, "is_error": True}, {"is_error": True, "equals": "two"}, ["passed"] * 2),
        (STRUCTURED, {"is_error": True}, ["failed"]),
    ],
)
def test_call(result, expected, status):
    assert statuses(mcp_checks.check_call(result, expected)) == status


def test_a_part_of_a_long_text_is_shown_with_what_stands_around_it():
    long = {**STRUCTURED, "text": "a" * 40 + "found" + "z" * 40, "structured": None}
    shown = mcp_checks.check_call(long, {"contains": "found"})[1]["found"]
    assert shown == "..." + "a" * 30 + "found" + "z" * 30 + "..."
    short = mcp_checks.check_call(STRUCTURED, {"contains": "w"})[1]["found"]
    assert short == "two"


def test_tool_that_asks_for_input_counts_as_an_error():
    summary = mcp_checks.summarize({"resultType": "input_required", "inputRequests": {"q1": {}}})
    assert summary["is_error"] and "q1" in summary["text"]
