# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Real CLIs see every tool behind the gateway and can call one.

Tools are counted in the requests that reach the model: a CLI may say "Connected" and see none.
"""

from __future__ import annotations

import json
import time
from collections import Counter

import support
from client_stubs import LITELLM_KEY, PROMPT, STATIC_KEY, WORD
from shapes_server import TOOLS

support.make_collection_importable()

from ansible_collections.intranet.mcp.plugins.module_utils.mcp.tools import hidden  # noqa: E402


def tools_by_server(offer):
    """Count the tools of the gateway in one model request, by server."""
    found = Counter()
    for tool in offer:
        name = tool.full.removeprefix("mcp__gw__")
        if name != tool.full:
            found[name.partition("__")[0]] += 1
    return dict(found)


def audited_calls(setup, alias, seconds=10):
    """Return the caller's audited tool calls; the gateway writes them a moment after answering."""
    deadline = time.monotonic() + seconds
    while True:
        lines = [json.loads(line) for line in setup.audit.read_text().splitlines()]
        calls = [x for x in lines if x["caller"] == alias and x["method"] == "tools/call"]
        if calls or time.monotonic() > deadline:
            return [(c["server"], c["name"], c["status"], c["era"]) for c in calls]
        time.sleep(0.05)  # a file tells nobody when it grows


def check(setup, output, alias, era):
    """What must hold for every CLI."""
    assert setup.stubs.offers, f"the model was never offered a tool:\n{output}"
    assert tools_by_server(setup.stubs.offers[-1]) == setup.expected, output
    assert WORD in output
    assert audited_calls(setup, alias) == [("everything", "echo", "ok", era)]
    assert setup.stubs.tried_outside == []


def write_claude_settings(home, setup, key):
    server = {
        "type": "http",
        "url": setup.url,
        "headers": {"Authorization": "Bearer ${MCP_GW_KEY}"},
    }
    (home / ".claude.json").write_text(json.dumps({"mcpServers": {"gw": server}}))
    (home / ".claude").mkdir()
    environment = {
        "ANTHROPIC_BASE_URL": setup.stubs.url,
        "ANTHROPIC_AUTH_TOKEN": LITELLM_KEY,
        "ANTHROPIC_MODEL": "stub",
        "ANTHROPIC_SMALL_FAST_MODEL": "stub",
        "ENABLE_TOOL_SEARCH": "false",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "MCP_GW_KEY": key,
    }
    settings = {"env": environment, "permissions": {"allow": ["mcp__gw__*"]}}
    (home / ".claude" / "settings.json").write_text(json.dumps(settings))
    return environment


def test_claude_code_sees_every_tool_and_calls_one(claude, setup, home, run_cli):
    environment = write_claude_settings(home, setup, LITELLM_KEY)
    done = run_cli(claude, "-p", PROMPT, "--output-format", "json", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    check(setup, done.stdout + done.stderr, "claude", "modern")


def test_claude_code_with_a_wrong_key_sees_no_tool(claude, setup, home, run_cli):
    environment = write_claude_settings(home, setup, "sk-revoked")
    listed = run_cli(claude, "mcp", "list", **environment)
    assert "401" in listed.stdout + listed.stderr
    assert "Connected" not in listed.stdout
    run_cli(claude, "-p", PROMPT, "--output-format", "json", **environment)
    assert all(tools_by_server(offer) == {} for offer in setup.stubs.offers)


def codex_settings(home, setup):
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(
        f"""
model = "stub"
model_provider = "litellm"
check_for_update_on_startup = false
[analytics]
enabled = false
[features]
plugins = false
apps = false
[model_providers.litellm]
name = "LiteLLM"
base_url = "{setup.stubs.url}/v1"
env_key = "LITELLM_KEY"
wire_api = "responses"
[mcp_servers.gw]
url = "{setup.url}"
bearer_token_env_var = "MCP_GW_KEY"
default_tools_approval_mode = "approve"
required = true
"""
    )


def test_codex_sees_every_tool_and_calls_one(codex, setup, home, run_cli):
    codex_settings(home, setup)
    command = [codex, "exec", "--strict-config", "--skip-git-repo-check", PROMPT]
    done = run_cli(*command, LITELLM_KEY=LITELLM_KEY, MCP_GW_KEY=STATIC_KEY)
    assert done.returncode == 0, done.stdout + done.stderr
    check(setup, done.stdout + done.stderr, "codex", "legacy")


def test_codex_with_a_wrong_key_does_not_start(codex, setup, home, run_cli):
    codex_settings(home, setup)
    command = [codex, "exec", "--strict-config", "--skip-git-repo-check", PROMPT]
    done = run_cli(*command, LITELLM_KEY=LITELLM_KEY, MCP_GW_KEY="wrong")
    assert done.returncode != 0
    assert "gw" in done.stderr
    assert setup.stubs.offers == []


def unseen(setup):
    """Return the tools of server `shapes` that the model was not offered."""
    offered = {tool.full.rpartition("shapes__")[2] for tool in setup.stubs.offers[-1]}
    return {tool["name"] for tool in TOOLS} - offered


def named(client):
    """Return the tools that mcp_health names as not shown by this client."""
    return {found["tool"] for found in hidden(TOOLS) if found["client"] == client}


def test_claude_code_hides_the_tools_that_mcp_health_names(claude, shapes, home, run_cli):
    environment = write_claude_settings(home, shapes, LITELLM_KEY)
    done = run_cli(claude, "-p", PROMPT, "--output-format", "json", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert unseen(shapes) == named("Claude Code")


def test_codex_hides_the_tools_that_mcp_health_names(codex, shapes, home, run_cli):
    codex_settings(home, shapes)
    command = [codex, "exec", "--strict-config", "--skip-git-repo-check", PROMPT]
    done = run_cli(*command, LITELLM_KEY=LITELLM_KEY, MCP_GW_KEY=STATIC_KEY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert unseen(shapes) == named("Codex")
