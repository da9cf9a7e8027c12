# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What `mcp_health` keeps of a server's tools, and how it tells that they changed."""

from __future__ import annotations

import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import checks, client, probe

ECHO = {"name": "echo", "inputSchema": {"type": "object"}}
NOTHING = {name: option.get("default") for name, option in probe.ARGUMENTS.items()}


class FakeSession:
    """A session with a server that has tools and knows what it allows."""

    era, version, server, capabilities, faults = "modern", "2026-01-01", {}, {}, []

    def __init__(self, tools, forbidden=()):
        self.listed, self.forbidden, self.called = tools, forbidden, []

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return False

    def tools(self):
        return self.listed

    def call(self, tool, arguments):
        self.called.append(tool["name"])
        if tool["name"] in self.forbidden:
            raise client.RpcError("http://x/mcp", "tools/call", {"code": -32001})
        return {"content": [{"type": "text", "text": "hi"}]}


def probe_of(session, is_dry=False, **params):
    made = probe.McpProbe({**NOTHING, "url": "http://x/mcp", **params}, is_dry)
    made._session = lambda _era, _key: session
    return made


def statuses(made):
    return {check["name"]: check["status"] for check in made.checks}


def test_the_lock_of_a_first_run_is_written_and_of_a_second_one_compared(tmp_path):
    path = str(tmp_path / "tools.lock")
    first = probe_of(FakeSession([ECHO]), lock_file=path, lock="write")
    first.run()
    assert first.is_changed and probe.read_lock(path) == checks.fingerprints([ECHO])
    again = probe_of(FakeSession([ECHO]), lock_file=path)
    again.run()
    assert not again.is_changed and statuses(again)["lock"] == "passed"
    other = probe_of(FakeSession([{**ECHO, "description": "new"}]), lock_file=path)
    other.run()
    assert statuses(other)["lock"] == "failed"


def test_a_dry_run_calls_nothing_and_writes_nothing(tmp_path):
    path = tmp_path / "tools.lock"
    session = FakeSession([ECHO])
    call = {**dict.fromkeys(probe.CALL), "tool": "echo", "arguments": {}}
    made = probe_of(session, is_dry=True, call=call, lock_file=str(path), lock="write")
    made.run()
    assert made.is_changed and not path.exists()
    assert (session.called, statuses(made)["call"]) == ([], "unknown")


def test_a_tool_that_is_not_listed_is_not_called():
    session = FakeSession([ECHO])
    made = probe_of(session, call={"tool": "other", "arguments": {}})
    made.run()
    assert (session.called, statuses(made)["call"]) == ([], "failed")


def test_a_forbidden_tool_is_called_though_it_is_not_listed():
    """Being unlisted is not being closed."""
    session = FakeSession([ECHO], forbidden=["secret"])
    made = probe_of(session, denied_calls=["secret", "open"])
    made.run()
    assert session.called == ["secret", "open"]
    told = statuses(made)
    assert (told["denies_call_secret"], told["denies_call_open"]) == ("passed", "failed")


def test_a_file_that_is_missing_is_no_lock_and_a_broken_one_is_named(tmp_path):
    path = tmp_path / "tools.lock"
    assert probe.read_lock(str(path)) is None
    for text in ("{", json.dumps({"tools": []}), "[]"):
        path.write_text(text)
        with pytest.raises(errors.Unexpected, match=str(path)):
            probe.read_lock(str(path))


def test_a_lock_that_cannot_be_written_says_where(tmp_path):
    with pytest.raises(errors.Refused, match="cannot be written"):
        probe.write_lock(str(tmp_path / "missing" / "tools.lock"), {})
