# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils._verify import (
    model_checks,
    report,
    server_checks,
    table,
)

HTTP = {
    "item": {
        "name": "gateway is healthy",
        "url": "http://g/health",
        "container": "intranet-gateway",
    },
    "status": 200,
    "elapsed": 0.02,
}
LLM = {
    "checks": [
        {
            "name": "chat",
            "model": "m",
            "status": "passed",
            "found": "'hi'",
            "expected": "text",
            "action": "",
            "milliseconds": 12.5,
            "first_ms": None,
        }
    ]
}
MCP = {
    "item": {"name": "all"},
    "sessions": [
        {
            "era": "modern",
            "protocol_version": "2026-07-28",
            "tools": ["a", "b"],
            "latency_ms": {"open": 2.0, "list": 1.0},
        }
    ],
    "checks": [
        {"name": "tools_min", "era": "modern", "status": "passed", "found": 2, "expected": ">= 1"}
    ],
}


def made(http=(HTTP,), llm=(LLM,), mcp=(MCP,)):
    return report(list(http), list(llm), list(mcp), "2026-01-01T00:00:00+00:00")


def test_a_report_counts_every_probe():
    found = made()
    assert (found["passed"], found["failed"], found["unknown"]) == (4, 0, 0)


def test_a_wrong_status_fails_and_names_the_container_to_look_at():
    (row,) = made(http=[{**HTTP, "status": 503}], llm=[], mcp=[])["checks"]
    assert (row["status"], row["found"]) == ("failed", "HTTP 503")
    assert "intranet-gateway" in row["action"]


def test_a_service_that_does_not_answer_fails_with_its_error():
    broken = {"item": HTTP["item"], "status": -1, "msg": "Connection refused"}
    (row,) = made(http=[broken], llm=[], mcp=[])["checks"]
    assert (row["status"], row["found"]) == ("failed", "Connection refused")


def test_a_probe_that_was_skipped_is_unknown_and_not_passed():
    found = made(http=[{"item": HTTP["item"], "skipped": True}], llm=[], mcp=[])
    assert (found["passed"], found["unknown"]) == (0, 1)


def test_a_module_that_broke_is_a_failed_check():
    found = made(http=[], llm=[{"failed": True, "msg": "no python"}], mcp=[])
    assert (found["failed"], found["checks"][0]["found"]) == (1, "no python")


def test_an_unreachable_mcp_server_is_a_failed_check_with_its_remedy():
    error = {"found": "refused", "expected": "an answer", "action": "start it"}
    broken = {"item": {"name": "browser"}, "failed": True, "error": error, "checks": []}
    (row,) = made(http=[], llm=[], mcp=[broken])["checks"]
    assert (row["status"], row["found"], row["action"]) == ("failed", "refused", "start it")


def test_the_table_ends_with_what_failed_and_what_to_do():
    lines = table(made(http=[{**HTTP, "status": 503}]))
    assert lines[-3].startswith("failed")
    assert lines[-1].strip().startswith("do: ")


def test_embedding_models_are_asked_for_vectors_only():
    assert model_checks({"name": "e", "embedding": True}, ["chat"])["checks"] == [
        "models",
        "embedding",
    ]


def test_an_api_is_asked_for_under_the_name_that_users_know():
    assert model_checks({"model_name": "large", "model": "x"}, ["chat"])["name"] == "large"


def test_what_is_expected_of_a_server_becomes_its_probe():
    entry = {"key": "files", "value": {"expect": {"call": {"tool": "list"}}}}
    assert server_checks(entry) == {
        "name": "files",
        "path": "/servers/files/mcp",
        "eras": ["auto"],
        "call": {"tool": "list"},
    }
