# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Real CLIs, configured by nothing but a bundle or the role, use a platform made by the roles.

Each asks its model through LiteLLM, is offered every tool of the gateway, calls one and says what
it returned. The machine it runs on reaches the platform and nothing else.
"""

from __future__ import annotations

import hashlib
import re
import time

import pytest
import yaml
from client_machines import HOME, MODEL, TEXT, Machine, as_user, tools_by_server
from gateway_lab import ROOT

PROJECT = f"{HOME}/project"
CHECKSUM = hashlib.sha256(TEXT.encode()).hexdigest()
PROMPT = "Call the checksum tool, then say what it returned."
COMMANDS = {
    "claude": ["claude", "-p", PROMPT, "--output-format", "json"],
    "codex": ["codex", "exec", "--strict-config", "--skip-git-repo-check", PROMPT],
    "gemini": ["gemini", "-p", PROMPT],
    "qwen": ["qwen", "-p", PROMPT],
    "opencode": ["opencode", "run", PROMPT],
}
# What the servers offer: the catalog names the example's, the other's count goes with its version.
CATALOG = yaml.safe_load((ROOT / "roles/platform/defaults/main/mcp_servers.yml").read_text())
EXPECTED = {
    "example": len(CATALOG["platform_builtin_mcp_servers"]["example"]["expect"]["tools"]),
    "filesystem": 14,
}

each_cli = pytest.mark.parametrize("cli", COMMANDS)


@pytest.fixture
def alice(laptop, platform):
    """Run commands as alice, in a home that holds nothing but her unpacked bundle."""
    laptop.run("sh", "-c", f"rm -rf {HOME}; install -d -o alice -m 0700 {HOME}")
    laptop.give(platform.clients / "alice.tar.gz", f"{HOME}/bundle.tar.gz")
    laptop.run("chown", "alice", f"{HOME}/bundle.tar.gz")
    platform.model.reset()

    def runner(*command, **options):
        return as_user(laptop, platform, "/opt/cli/node_modules/.bin", *command, **options)

    runner("tar", "xzf", "bundle.tar.gz")
    runner("rm", "bundle.tar.gz")
    runner("mkdir", "project")
    return runner


def check_conversation(platform, output, since):
    """What must hold after every CLI's run."""
    assert platform.model.offers, f"the model was never offered a tool:\n{output}"
    assert tools_by_server(platform.model.offers[-1]) == EXPECTED, output
    assert CHECKSUM in output
    assert platform.audited_calls(since) == [("alice", "example", "checksum", "ok")]
    assert platform.model.tried_outside == []


def converse(platform, user, cli):
    """Let a CLI have its conversation in a project, and check it."""
    since = time.time()
    done = user(*COMMANDS[cli], cwd=PROJECT, check=False, timeout=400)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    check_conversation(platform, output, since)


@each_cli
def test_a_cli_uses_the_platform_with_nothing_but_a_bundle(platform, alice, cli):
    alice("intranet-mcp-alice/install.sh")
    converse(platform, alice, cli)


def test_check_says_on_one_screen_that_everything_answers(platform, alice):
    done = alice("intranet-mcp-alice/check.sh")
    assert f"offers 1: {MODEL}" in done.stdout
    assert f"shows you {sum(EXPECTED.values())}: example 3, filesystem 14" in done.stdout
    assert done.stdout.count("  ok ") == 4 + 2 * len(COMMANDS)
    assert len(done.stdout.splitlines()) < 25


def test_check_knows_which_cli_reads_a_range_of_no_proxy(platform, alice):
    """The fix that it prints keeps all of them from the proxy; see the test above."""
    network = f"{platform.switch.net}.0/24"
    variables = [f"{name}={network}" for name in ("NO_PROXY", "no_proxy")]
    done = alice("env", *variables, "intranet-mcp-alice/check.sh", check=False)
    assert "Proxy    check.sh, gemini, qwen, opencode would send" in done.stdout, done.stdout
    assert f"NO_PROXY='{network},{platform.switch.address}'" in done.stdout


def test_after_undo_a_used_home_holds_no_key_and_no_setting(platform, alice):
    alice("intranet-mcp-alice/install.sh")
    for cli in ("claude", "codex"):
        alice(*COMMANDS[cli], cwd=PROJECT)
    alice("intranet-mcp-alice/install.sh", "--undo")
    alice("rm", "-r", "intranet-mcp-alice")
    left = alice("grep", "-rlaF", platform.key, HOME, check=False)
    assert left.returncode == 1, left.stdout
    assert "apiKeyHelper" not in alice("sh", "-c", "cat .claude/settings.json || :").stdout
    assert "mcpServers" not in alice("cat", ".claude.json").stdout


# `claude -p` tries again for minutes, so it is asked about its server only.
@pytest.mark.parametrize("command", [["claude", "mcp", "list"], COMMANDS["codex"]])
def test_a_revoked_key_reaches_neither_models_nor_tools(platform, alice, command):
    alice("intranet-mcp-alice/install.sh")
    for path in (".config/intranet-mcp/key", ".codex/.env"):
        alice("sed", "-i", f"s/{platform.key}/sk-revoked/", path)
    done = alice(*command, cwd=PROJECT, check=False)
    assert "gw" in done.stdout + done.stderr
    assert "Connected" not in done.stdout
    assert CHECKSUM not in done.stdout + done.stderr
    assert platform.model.requests == []
    checked = alice("intranet-mcp-alice/check.sh", check=False)
    assert checked.returncode == 1
    assert checked.stdout.count("does not accept your key") == 3 + len(COMMANDS)


def test_nothing_but_the_platform_is_reachable(platform, alice):
    script = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
    port = platform.litellm.rpartition(":")[2]
    alice("python3", "-c", script, platform.switch.address, port)
    for address in ("192.0.2.1", "1.1.1.1"):
        refused = alice("python3", "-c", script, address, "443", check=False)
        assert "unreachable" in refused.stderr


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ('{"clients_members": ["mallory"]}', "mallory is no member of any team"),
        ('{"teams": []}', "no members were found in `teams`"),
        ('{"clients_names": ["cursor"]}', "clients_names has cursor, expected some of claude"),
        (
            '{"teams": [{"name": "risk", "members": [{"alias": "dave"}]}]}',
            "found no key of dave in",
        ),
    ],
)
def test_wrong_input_is_one_clear_message_and_writes_nothing(platform, argument, message):
    before = sorted(platform.inventory.rglob("*"))
    done = platform.play(ROOT / "playbooks/clients.yml", "-e", argument, check=False)
    assert done.returncode != 0
    assert message in re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert sorted(platform.inventory.rglob("*")) == before


# --- hosts of group developers --------------------------------------------------------------------

SNAPSHOT = (
    "find /etc /home /usr/local /opt /var/lib -xdev -path /opt/cli -prune "
    "-o -type f -exec sha256sum {} + -o -type d -print | sort"
)
EXISTING = '{\n  "env": {"COMPANY": "1"}\n}\n'


@pytest.fixture(scope="session")
def workstation(switch, platform, cli_modules):
    """A host of several people, configured by the role; the CLIs are as npm leaves them."""
    install_dir = "/opt/intranet-mcp-clients"
    machine = Machine("dev", switch, f"--volume={cli_modules}:/opt/cli/node_modules:ro")
    try:
        machine.run("mkdir", "-p", install_dir)
        machine.run("ln", "-s", "/opt/cli/node_modules", f"{install_dir}/node_modules")
        for user in ("alice", "carol"):
            machine.run("useradd", "--create-home", user)
        machine.run("install", "-d", "-o", "alice", PROJECT)
        machine.run("mkdir", "-p", "/etc/claude-code")
        machine.run(
            "sh", "-c", 'printf "%s" "$1" >/etc/claude-code/managed-settings.json', "sh", EXISTING
        )
        lock = ROOT / "roles/clients/files/npm/package-lock.json"
        machine.give(lock, f"{install_dir}/installed-lock.json")
        host = {"ansible_connection": "community.docker.docker"}
        host["ansible_python_interpreter"] = "/usr/bin/python3"
        hosts = platform.inventory / "developers.yml"
        hosts.write_text(yaml.safe_dump({"developers": {"hosts": {machine.name: host}}}))
        machine.before = machine.run("sh", "-c", SNAPSHOT).stdout
        machine.first = platform.play(ROOT / "playbooks/clients.yml", "--diff")
        yield machine
        hosts.unlink()
    finally:
        machine.close()


@pytest.fixture
def developer(workstation, platform):
    """Run commands as alice on the workstation."""
    platform.model.reset()
    return lambda *command, **options: as_user(workstation, platform, "", *command, **options)


@each_cli
def test_a_cli_uses_the_platform_with_managed_settings(platform, developer, cli):
    converse(platform, developer, cli)


def test_a_key_on_a_workstation_is_in_its_owners_files_only(platform, workstation):
    places = ("/etc", "/home", "/opt/intranet-mcp-clients", "/usr/local", "/var/lib")
    found = workstation.run("grep", "-rlaF", platform.key, *places, check=False)
    paths = found.stdout.split()
    assert len(paths) >= 4
    for path in paths:
        owner = workstation.run("stat", "--format=%U %a", path).stdout.strip()
        assert owner == "alice 600", path
    assert platform.key not in workstation.first.stdout + workstation.first.stderr


def test_a_workstation_needs_nothing_done_twice(platform, workstation):
    done = platform.play(ROOT / "playbooks/clients.yml")
    assert re.search(rf"{workstation.name} .*changed=0 ", done.stdout), done.stdout[-3000:]


def test_existing_managed_settings_are_merged_into(workstation):
    text = workstation.run("cat", "/etc/claude-code/managed-settings.json").stdout
    assert '"COMPANY": "1", "ANTHROPIC_BASE_URL"' in text


def test_absent_restores_a_workstation(platform, workstation):
    """The last of its tests: nothing of the role is there afterwards, and no record of it."""
    platform.play(ROOT / "playbooks/absent.yml", "--limit", "developers")
    after = workstation.run("sh", "-c", SNAPSHOT).stdout
    used = re.compile(HOME + r"/(\.claude|\.codex|\.gemini|\.qwen|\.cache|\.local|\.config|\.npm)")
    ours = re.compile(r"/opt/intranet-mcp-clients")

    def relevant(listing):
        return [x for x in listing.splitlines() if not used.search(x) and not ours.search(x)]

    assert relevant(after) == relevant(workstation.before)
    left = workstation.run("grep", "-rlaF", platform.key, "/etc", "/home", "/var/lib", check=False)
    assert left.stdout == ""
