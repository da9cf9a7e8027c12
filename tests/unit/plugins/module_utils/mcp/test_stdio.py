# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Sessions with programs, real ones that are started and must be gone afterwards."""

from __future__ import annotations

import os
import sys

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import client
from ansible_collections.intranet.mcp.plugins.module_utils.mcp.stdio import Command

# A server of the legacy era: says something stray first, answers what it knows, and writes its pid.
SERVER = """
import json, os, sys
print("starting up", flush=True)
open(os.environ["PID_FILE"], "w").write(str(os.getpid()))
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    results = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "serverInfo": {"name": "s", "version": "1"},
        },
        "tools/list": {"tools": [{"name": "a", "inputSchema": {}}]},
        "tools/call": {"content": [{"type": "text", "text": os.environ.get("TOKEN", "")}]},
    }
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] in results:
        answer["result"] = results[message["method"]]
        print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}))
    else:
        answer["error"] = {"code": -32601, "message": "unknown method"}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def command(tmp_path):
    """Return a command that runs a program text."""

    def make(program=SERVER, timeout=10, **env):
        env = {"PID_FILE": str(tmp_path / "pid"), **env}
        return Command([sys.executable, "-c", program], env, timeout)

    make.pid_file = tmp_path / "pid"
    return make


def test_a_program_is_spoken_with_and_gone_afterwards(command):
    with client.session(command(TOKEN="secret"), "stdio", "auto", "2025-06-18") as session:
        assert (session.era, session.server["name"]) == ("legacy", "s")
        (tool,) = session.tools()
        assert session.call(tool, {})["content"][0]["text"] == "secret"
        pid = int(command.pid_file.read_text())
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_without_the_modern_era_is_told(command):
    with (
        pytest.raises(client.NotServed),
        client.session(command(), "stdio", "modern", "2025-06-18"),
    ):
        pass


def test_a_program_that_ends_tells_what_it_said(command):
    program = "import sys; sys.exit('no token, no work')"
    with (
        pytest.raises(errors.Unexpected, match="no token, no work"),
        client.session(command(program), "stdio", "legacy", "2025-06-18"),
    ):
        pass


def test_a_silent_program_is_not_waited_for_forever(command):
    program = "import sys; sys.stdin.read()"
    with (
        pytest.raises(errors.TimedOut, match="initialize"),
        client.session(command(program, timeout=0.5), "stdio", "legacy", "2025-06-18"),
    ):
        pass


def test_a_program_that_is_not_there_is_unreachable():
    with (
        pytest.raises(errors.Unreachable, match="/nowhere/at-all"),
        client.session(Command(["/nowhere/at-all", "--secret"]), "stdio", "auto", "2025-06-18"),
    ):
        pass
