# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Real CLIs are answered by real weights in an Ollama made by the roles.

What reaches Ollama is read on its way there. The CLIs' own prompts take a CPU minutes to read, so
each is told to send a short one, as far as it offers that; what a CLI sends in full is proven with
the scripted model, and by verify with the recorded requests.
"""

from __future__ import annotations

import json
import time

import pytest
from client_machines import CONTEXT, HOME, SMALL, as_user, run, tools_by_server
from forwarder import Forwarder
from test_bundles import EXPECTED, PROJECT

HELLO = "Say hello."
BRIEF = "Answer in a few words."
AGENT = {"mode": "primary", "prompt": BRIEF, "tools": {"*": False, "gw*": True}}
OPENCODE = json.dumps({"agent": {"brief": AGENT}})
QWEN_TOOLS = (
    "agent,enter_worktree,exit_worktree,get_goal,list_agents,read_file,record_artifact,"
    "report_findings,send_message,skill,task_stop,update_goal"
)
# Its prompt would list these, whether there is a tool to read them or not.
QWEN_SKILLS = (
    "batch,browser-use,computer-use,dataviz,extension-creator,goal-draft,loop,new-app,qc-helper,"
    "review,simplify,stuck,workflow-authoring,workflow-creator"
)
QWEN_PROJECT = json.dumps(
    {
        "memory": {"enableManagedAutoMemory": False},
        "skills": {"disabled": QWEN_SKILLS.split(",")},
    }
)
CODEX_FEATURES = ("shell_tool", "multi_agent", "goals", "image_generation", "tool_suggest")
COMMANDS = {
    "claude": ["claude", "-p", HELLO, "--system-prompt", BRIEF, "--tools", "",
               "--disable-slash-commands"],
    "codex": ["codex", "exec", "--skip-git-repo-check", HELLO,
              "-c", f'model_instructions_file="{HOME}/brief.md"', "-c", 'web_search="disabled"',
              "-c", "include_permissions_instructions=false",
              *(part for feature in CODEX_FEATURES for part in ("--disable", feature))],
    "gemini": ["env", f"GEMINI_SYSTEM_MD={HOME}/brief.md", "gemini", "-p", HELLO],
    "qwen": ["qwen", "-p", HELLO, "--system-prompt", BRIEF, "--core-tools", "read_file",
             "--exclude-tools", QWEN_TOOLS],
    "opencode": ["env", f"OPENCODE_CONFIG_CONTENT={OPENCODE}",
                 "opencode", "run", "--agent", "brief", "--title", "hello", HELLO],
}  # fmt: skip
SECONDS = 300


@pytest.fixture(scope="module")
def ollama(platform):
    """What LiteLLM asks Ollama, from now on by way of a program that keeps it."""
    container = f"{platform.prefix}ollama"
    format_ = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    address = run("docker", "inspect", f"--format={format_}", container).stdout.split()[0]
    forwarder = Forwarder(platform.switch.address, f"http://{address}:{platform.ollama_port}")
    config = platform.folder / "etc/services/litellm/config/config.yaml"
    deployed = config.read_text()
    own = f"http://{container}:{platform.ollama_port}"
    assert own in deployed
    config.write_text(deployed.replace(own, forwarder.url))
    platform.restart_litellm()
    yield forwarder
    forwarder.close()
    config.write_text(deployed)


@pytest.fixture
def bob(laptop, platform, ollama):
    """Run commands with bob's settings and nothing else in the home."""
    laptop.run("sh", "-c", f"rm -rf {HOME}; install -d -o alice -m 0700 {HOME}")
    laptop.give(platform.clients / "bob.tar.gz", f"{HOME}/bundle.tar.gz")
    laptop.run("chown", "alice", f"{HOME}/bundle.tar.gz")
    ollama.exchanges.clear()

    def runner(*command, **options):
        return as_user(laptop, platform, "/opt/cli/node_modules/.bin", *command, **options)

    runner("tar", "xzf", "bundle.tar.gz")
    runner("mkdir", "-p", f"{PROJECT}/.qwen")
    runner("sh", "-c", 'printf "%s" "$1" >project/.qwen/settings.json', "sh", QWEN_PROJECT)
    runner("sh", "-c", 'printf "%s" "$1" >brief.md', "sh", BRIEF)
    runner("intranet-mcp-bob/install.sh")
    return runner


@pytest.mark.parametrize("cli", COMMANDS)
def test_real_weights_answer_a_cli_and_nothing_is_cut_off(bob, ollama, cli, clients_table):
    began = time.monotonic()
    bounded = ["timeout", "--kill-after=5", str(SECONDS), *COMMANDS[cli]]
    done = bob(*bounded, cwd=PROJECT, check=False, timeout=SECONDS + 30)
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip(), done.stderr
    assert ollama.exchanges, done.stdout + done.stderr
    for asked, answered in ollama.exchanges:
        names = [tool["function"]["name"] for tool in asked.get("tools", [])]
        assert tools_by_server(names) == {"example": EXPECTED["example"]}, names
        assert asked["model"] == SMALL and asked["options"]["num_ctx"] == CONTEXT
        assert asked["truncate"] is False and HELLO in json.dumps(asked["messages"])
        assert answered["done"] and answered["prompt_eval_count"] < CONTEXT, answered
    _asked, answered = ollama.exchanges[0]
    clients_table.append((cli, answered, took, done.stdout.strip()))
