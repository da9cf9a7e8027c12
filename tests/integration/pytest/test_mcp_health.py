# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`mcp_health` against servers of the official SDK, new and old."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
from pathlib import Path

import pytest
import support
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import (
    verify_models,
    verify_report,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import models
from conftest import http_status, wait_until

pytestmark = pytest.mark.integration

SERVERS = Path(__file__).parent / "servers"
KEY = "sk-" + secrets.token_hex(8)
TOOLS = ["add", "echo", "fail", "region"]


def start(python: str, program: str):
    """Start a server program on a free port; it must answer on /ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [python, SERVERS / program, str(port), KEY],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: http_status(f"{url}/ready") == 200, 30, f"{program} at {url}")
    return process, url


@pytest.fixture(scope="module")
def server(mcp_python):
    """A server of the current SDK, which speaks both eras."""
    process, url = start(mcp_python, "mcp_server.py")
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def old_server(old_mcp_python):
    """A server of the SDK before 2026, which speaks the legacy era only."""
    process, url = start(old_mcp_python, "old_mcp_server.py")
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture
def run(run_module, server):
    def run(path="/mcp", **options):
        key = {} if "key_file" in options else {"key": KEY}
        return run_module("mcp_health", **{"url": server + path, **key, **options})

    return run


ENDPOINTS = [
    ("/mcp", "streamable_http", "modern"),
    ("/mcp", "streamable_http", "legacy"),
    ("/json/mcp", "streamable_http", "modern"),
    ("/json/mcp", "streamable_http", "legacy"),
    ("/old/sse", "sse", "legacy"),
]


@pytest.mark.parametrize(("path", "transport", "era"), ENDPOINTS)
def test_healthy_server_passes(run, path, transport, era):
    result = run(
        path,
        transport=transport,
        eras=[era],
        server_name="itest",
        server_version="1.*",
        tools=TOOLS,
        tools_include=["e*"],
        tools_min=4,
        call={"tool": "add", "arguments": {"a": 2, "b": 3}, "path": "sum", "equals": 5},
        denies=["no_key", "wrong_key"],
        max_latency_ms=5000,
    )
    assert not result["failed"], result["msg"]
    assert not result["changed"]
    assert {check["status"] for check in result["checks"]} == {"passed"}
    (session,) = result["sessions"]
    assert session["era"] == era and session["tools"] == TOOLS
    assert session["protocol_version"] == {"modern": "2026-07-28", "legacy": "2025-11-25"}[era]
    assert session["call"]["structured"] == {"sum": 5}


def test_both_eras_are_measured_apart(run):
    result = run(eras=["legacy", "modern"], legacy_version="2025-06-18", tools_min=1)
    versions = [session["protocol_version"] for session in result["sessions"]]
    assert versions == ["2025-06-18", "2026-07-28"]
    assert [*dict.fromkeys(check["era"] for check in result["checks"])] == ["legacy", "modern"]


def test_auto_takes_the_newest_era(run):
    assert run()["sessions"][0]["era"] == "modern"


def test_argument_that_must_travel_as_header_does(run):
    call = {"tool": "region", "arguments": {"name": "Zürich"}, "equals": "in Zürich"}
    assert not run(eras=["modern"], call=call)["failed"]


def test_error_of_a_tool_is_a_failure_unless_expected(run):
    assert run(call={"tool": "fail"})["failed"]
    expected = run(call={"tool": "fail", "is_error": True, "contains": "fail"})
    assert not expected["failed"], expected["msg"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": ["echo"]},
        {"tools_include": ["git_*"]},
        {"tools_min": 5},
        {"server_name": "other"},
        {"call": {"tool": "echo", "arguments": {"text": "a"}, "equals": "b"}},
        {"call": {"tool": "echo", "arguments": {"text": "a"}, "contains": "b"}},
        {"call": {"tool": "missing"}},
        {"max_latency_ms": 0},
    ],
)
def test_each_expectation_can_fail(run, wrong):
    result = run(**wrong)
    assert result["failed"] and result["error"]["reason"] == "expectation"
    assert result["sessions"][0]["tools"] == TOOLS


def test_wrong_key_wrong_path_and_nobody_there_are_told_apart(run, run_module):
    reasons = [
        run(key="sk-other")["error"]["reason"],
        run("/nowhere")["error"]["reason"],
        run_module("mcp_health", url="http://127.0.0.1:9/mcp")["error"]["reason"],
    ]
    assert reasons == ["unauthorized", "unknown", "unreachable"]


def test_server_of_the_old_sdk_is_legacy_only(run_module, old_server):
    url = old_server + "/mcp"
    result = run_module("mcp_health", url=url, tools=["echo"], denies=["no_key"], key=KEY)
    assert not result["failed"], result["msg"]
    assert result["sessions"][0]["era"] == "legacy"
    modern = run_module("mcp_health", url=url, eras=["modern"], key=KEY)
    assert modern["failed"] and modern["error"]["reason"] == "era_not_served"


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_server_is_measured_on_stdio(run_module, mcp_python, era):
    result = run_module(
        "mcp_health",
        command=[mcp_python, str(SERVERS / "mcp_server.py"), "stdio"],
        eras=[era],
        server_name="itest",
        tools=TOOLS,
        call={"tool": "add", "arguments": {"a": 2, "b": 3}, "path": "sum", "equals": 5},
    )
    assert not result["failed"], result["msg"]
    assert result["sessions"][0]["era"] == era


def test_old_server_on_stdio_is_found_to_be_legacy(run_module, old_mcp_python):
    command = [old_mcp_python, str(SERVERS / "old_mcp_server.py"), "stdio"]
    result = run_module("mcp_health", command=command, tools=["echo"])
    assert not result["failed"], result["msg"]
    assert result["sessions"][0]["era"] == "legacy"


def test_both_eras_and_transports_have_the_same_fingerprints(run, run_module, mcp_python, tmp_path):
    path = str(tmp_path / "lock.json")
    assert run(eras=["modern"], lock_file=path, lock="write", check=True)["changed"]
    assert not (tmp_path / "lock.json").exists()
    assert run(eras=["modern"], lock_file=path, lock="write")["changed"]
    assert not run(eras=["legacy", "modern"], lock_file=path)["failed"]
    assert not run("/old/sse", transport="sse", eras=["legacy"], lock_file=path)["failed"]
    command = [mcp_python, str(SERVERS / "mcp_server.py"), "stdio"]
    assert not run_module("mcp_health", command=command, lock_file=path)["failed"]


def test_revoked_key_is_refused_by_a_real_server(run):
    result = run(denies=["revoked_key"], revoked_key="sk-once", revoked_within_seconds=5)
    assert not result["failed"] and result["denials"]["revoked_key"].startswith("refused")
    assert run(denies=["revoked_key"], revoked_key=KEY)["failed"]


def test_tool_that_must_be_closed_and_answers_is_found(run):
    result = run(denied_calls=["fail"], tools_exclude=["f*"])
    failed = [c["name"] for c in result["checks"] if c["status"] == "failed"]
    assert failed == ["tools_exclude", "denies_call_fail"]


def test_verify_counts_what_the_tools_take_of_a_models_context(run_module, server):
    options = {
        "url": f"{server}/mcp",
        "key": "verify",
        "models": [{"name": "wide", "context": 65536}, {"name": "narrow", "context": 8192}],
        "openings": {"claude": 78638},
    }
    probe = {"name": "room", "kind": "room", "group": "Models", "options": options}
    result = run_module("health", probes=[probe], keys={"verify": KEY}, required=False)
    wide, narrow = result["checks"]
    assert (wide["name"], wide["status"]) == ("room wide claude", "passed")
    assert f"of {len(TOOLS)} tools" in wide["found"]
    assert (narrow["name"], narrow["status"]) == ("room narrow claude", "failed")
    assert "globs" in narrow["action"]


def test_verify_fails_where_a_models_context_is_too_small_for_a_cli(run_module, server):
    """From the inventory to the verdict: `context: 4096`, with the CLIs as they were recorded."""
    declared = [{"name": "m", "context": 4096}, {"name": "n", "context": 65536}]
    shapes = json.loads((support.REPOSITORY / "roles/clients/files/requests.json").read_text())
    known = models.declared_models(declared, [], {}, 8192)
    probes = verify_models.room_probe(known, shapes, f"{server}/mcp")
    result = run_module("health", probes=probes, keys={"verify": KEY}, required=False)
    report = verify_report.report({"here": result}, {"at": "", "platform": "x"})
    failed = [check for check in report["checks"] if check["status"] == "failed"]
    assert [c["name"] for c in failed] == [f"room m {cli}" for cli in shapes]
    assert report["failed"] == 5 and report["passed"] == 5
    assert failed[0]["found"].startswith("4096 tokens of context - 19659 of its opening prompt - ")
    assert "context in ollama_models" in failed[0]["action"]
