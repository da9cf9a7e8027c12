# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A gateway with two real tool servers behind it, a scripted model, and the CLIs from npm.

The CLIs are those that the role `clients` installs, from its lock file.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from client_machines import Machine, Platform, Switch, image, why_not  # noqa: E402
from client_stubs import LITELLM_KEY, STATIC_KEY, WORD, Stubs, Wanted  # noqa: E402
from gateway_lab import (  # noqa: E402
    ROOT,
    Lab,
    Unreachable,
    free_port,
    gateway_python,
    node_packages,
)

# What the servers offer depends on what their client can do; this one can do everything.
CAPABILITIES = {"sampling": {}, "elicitation": {}, "roots": {"listChanged": True}}


class Setup(NamedTuple):
    """Everything a test inspects."""

    url: str
    stubs: Stubs
    audit: Path
    expected: dict[str, int]


@pytest.fixture(scope="session")
def modules():
    """Return `node_modules` with the pinned tool servers."""
    try:
        gateway_python()
        found = node_packages("clients-servers", HERE / "package-lock.json")
    except Unreachable as error:
        pytest.skip(f"the tool servers cannot be had here: {error}")
    return found


@pytest.fixture(scope="session")
def cli_modules():
    """Return `node_modules` with the CLIs, made as the role makes it."""
    try:
        found = node_packages("clients-cli", ROOT / "roles/clients/files/npm/package-lock.json")
    except Unreachable as error:
        pytest.skip(f"the CLIs cannot be had here: {error}")
    manifest = ROOT / "roles/platform/vars/main/clients.yml"
    for client in yaml.safe_load(manifest.read_text())["client_manifest"].values():
        for step in client.get("prepare", []):
            package = found / client["package"]
            subprocess.run(["node", step], cwd=package, check=True, timeout=120)
    return found


@pytest.fixture(scope="session")
def switch():
    """The network of the machines."""
    if reason := why_not():
        pytest.skip(reason)
    made = Switch()
    yield made
    made.close()


@pytest.fixture(scope="session")
def platform(switch, tmp_path_factory):
    """A running platform, and everybody's bundle."""
    for name in ("postgres", "ollama", "litellm", "gateway", "tool-filesystem", "tool-python"):
        image(name)
    made = Platform(tmp_path_factory.mktemp("platform"), switch)
    try:
        made.up()
        made.play(ROOT / "playbooks/clients.yml")
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def laptop(switch, platform, cli_modules):
    """A person's own machine: the CLIs are there, the platform is unknown."""
    machine = Machine("laptop", switch, f"--volume={cli_modules}:/opt/cli/node_modules:ro")
    try:
        machine.run("useradd", "--create-home", "alice")
        yield machine
    finally:
        machine.close()


@pytest.fixture(scope="session")
def claude(cli_modules):
    """Return the `claude` program."""
    return cli_modules / ".bin/claude"


@pytest.fixture(scope="session")
def codex(cli_modules):
    """Return the `codex` program."""
    return cli_modules / ".bin/codex"


def count_tools(command: list[str]) -> int:
    """Ask a stdio server itself, without the gateway, how many tools it has.

    One message after the other: servers may add tools when they learn what the client can do.
    """
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": CAPABILITIES,
        "clientInfo": {"name": "count", "version": "1"},
    }
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:

        def send(**message):
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            server.stdin.flush()

        def ask(number, method, params):
            send(id=number, method=method, params=params)
            for line in server.stdout:
                message = json.loads(line)
                if message.get("id") == number and "result" in message:
                    return message["result"]
            raise AssertionError(f"{command} ended without an answer to {method}")

        try:
            ask(101, "initialize", hello)
            send(method="notifications/initialized")
            ask(102, "ping", {})
            return len(ask(103, "tools/list", {})["tools"])
        finally:
            server.kill()


@pytest.fixture
def setup(modules, tmp_path):
    """Start the model, the gateway and its tool servers; check that they know what to expect."""
    (tmp_path / "files").mkdir()
    node = shutil.which("node")
    bin_directory = modules / ".bin"
    servers = {
        "everything": [node, str((bin_directory / "mcp-server-everything").resolve()), "stdio"],
        "files": [
            node,
            str((bin_directory / "mcp-server-filesystem").resolve()),
            str(tmp_path / "files"),
        ],
    }
    with running(tmp_path, servers, "everything__echo") as found:
        assert min(found.expected.values()) > 5
        yield found


@pytest.fixture
def shapes(tmp_path):
    """Start the same with one server, whose tools have odd schemas."""
    servers = {"shapes": [sys.executable, str(HERE / "shapes_server.py")]}
    with running(tmp_path, servers, "shapes__echo") as found:
        yield found


@contextlib.contextmanager
def running(tmp_path, servers, tool):
    """The model, which calls the tool, and the gateway with these servers."""
    stubs = Stubs(Wanted(tool, {"message": WORD}), LITELLM_KEY)
    port = free_port()
    (tmp_path / "key").write_text(STATIC_KEY)
    configuration = {
        "listen": {"port": port},
        "auth": {
            "litellm": {"url": stubs.url},
            "static_keys": [{"alias": "codex", "key_file": str(tmp_path / "key")}],
        },
        "audit": {"file": str(tmp_path / "audit.jsonl")},
        "upstreams": {
            name: {"type": "stdio", "command": command[0], "args": command[1:], "required": True}
            for name, command in servers.items()
        },
    }
    try:
        with Lab(tmp_path) as lab:
            expected = {name: count_tools(command) for name, command in servers.items()}
            lab.gateway(configuration)
            url = f"http://127.0.0.1:{port}/mcp"
            yield Setup(url, stubs, tmp_path / "audit.jsonl", expected)
    finally:
        stubs.close()


@pytest.fixture
def home(tmp_path):
    """Return an empty home directory."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def run_cli(home, request):
    """Return a function that runs a CLI in a small environment whose only way out is a trap."""
    name = next(n for n in ("setup", "shapes") if n in request.fixturenames)
    setup = request.getfixturevalue(name)

    def run(*command, **environment):
        base = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        trap = dict.fromkeys(
            ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), setup.stubs.url
        )
        own = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        return subprocess.run(
            [str(part) for part in command],
            env={**base, **trap, **own, "HOME": str(home), **environment},
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )

    return run


TABLE = pytest.StashKey[list]()


@pytest.fixture
def clients_table(request):
    """Rows that the run ends with: what real weights took to answer each CLI."""
    return request.config.stash.setdefault(TABLE, [])


def pytest_terminal_summary(terminalreporter, config):
    """Say how long it took, since the lane is bounded by what the CLIs let one leave out."""
    rows = config.stash.get(TABLE, [])
    if not rows:
        return
    terminalreporter.section("real weights: prompts as short as each CLI allows")
    terminalreporter.write_line("CLI        prompt tokens   read in   words in   in all   said")
    for cli, answered, took, said in rows:
        read, words = (answered[f"{part}_duration"] / 1e9 for part in ("prompt_eval", "eval"))
        terminalreporter.write_line(
            f"{cli:<10} {answered['prompt_eval_count']:>13} {read:>7.1f} s {words:>8.1f} s "
            f"{took:>6.0f} s   {said[:40]!r}"
        )
