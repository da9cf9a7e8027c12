# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A platform made by the roles, and machines from which nothing but it can be reached.

The machines are containers without a network. A cable (veth) leads from each to a switch (bridge)
of this host, where the platform's ports are published; there is no other route.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
import yaml
from gateway_lab import ROOT, free_port
from scripted_model import ScriptedModel, Wanted

HERE = Path(__file__).resolve().parent
HOME = "/home/alice"
MODEL, SMALL = "scripted", "small:1"
TEXT = "pineapple"
# The smallest model there is, with a template that puts all of a request before it: the role's own
# shows it the first tool only, which it then calls whatever it is asked.
TEMPLATE = """{{- if or .System .Tools }}<|im_start|>system
{{ .System }}
{{- range .Tools }}
{{ .Function }}
{{- end }}<|im_end|>
{{ end }}
{{- range .Messages }}{{ if ne .Role "system" }}<|im_start|>{{ .Role }}
{{ .Content }}{{ range .ToolCalls }}{{ .Function }}{{ end }}<|im_end|>
{{ end }}{{ end }}<|im_start|>assistant
"""
CONTEXT = 16384
# So small a model does not end by itself: its first sentence is its answer.
STOPS = "".join(f"PARAMETER stop {mark}\n" for mark in ".!?")
MODELFILE = f'FROM base:1\nTEMPLATE """{TEMPLATE}"""\nPARAMETER temperature 0\n{STOPS}'
SMALL_MODELS = [
    {"name": "base:1", "file": "smollm2-135m", "context": CONTEXT},
    {
        "name": SMALL,
        "context": CONTEXT,
        "sources": [{"type": "modelfile", "content": f"{{% raw %}}{MODELFILE}{{% endraw %}}"}],
    },
]
WANTED = Wanted("example__checksum", {"text": TEXT})


def run(
    *command, timeout: float = 60, check: bool = True, **options
) -> subprocess.CompletedProcess:
    """Run a command and return what it said; fail the test with it otherwise."""
    command = [str(part) for part in command]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, **options
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(command[:6])} ...: {(done.stdout + done.stderr)[-3000:]}")
    return done


def image(name: str) -> str:
    """Return the reference of one of the platform's images, which `make up` builds."""
    path = ROOT / "roles/platform/vars/main/images.yml"
    version = yaml.safe_load(path.read_text())["image_manifest"][name]["version"]
    reference = f"intranet-mcp/{name}:{version}"
    if run("docker", "image", "inspect", reference, check=False).returncode:
        pytest.skip(f"needs the image {reference}, which `make up` builds")
    return reference


class Switch:
    """A bridge of this host with an address, and cables from containers to it."""

    def __init__(self) -> None:
        self.name = f"itest{secrets.token_hex(3)}"
        self.net = f"10.213.{secrets.randbelow(254) + 1}"
        self.address = f"{self.net}.1"
        self.cables = 1
        run("ip", "link", "add", self.name, "type", "bridge")
        run("ip", "address", "add", f"{self.address}/24", "dev", self.name)
        run("ip", "link", "set", self.name, "up")

    def connect(self, container: str) -> None:
        """Lead a cable into the container."""
        self.cables += 1
        pid = run("docker", "inspect", "--format={{.State.Pid}}", container).stdout.strip()
        here, there = f"{self.name}h{self.cables}", f"{self.name}c{self.cables}"
        run("ip", "link", "add", here, "type", "veth", "peer", "name", there)
        run("ip", "link", "set", here, "master", self.name, "up")
        run("ip", "link", "set", there, "netns", pid)
        inside = ("nsenter", "-t", pid, "-n", "ip")
        run(*inside, "address", "add", f"{self.net}.{self.cables}/24", "dev", there)
        run(*inside, "link", "set", there, "up")

    def close(self) -> None:
        """Remove the bridge; a cable goes with its container."""
        run("ip", "link", "delete", self.name, check=False)


class Platform:
    """All that a CLI meets, with a model that follows a script and one of real weights.

    alice uses the first and every tool, bob the second and the tools of one server.
    """

    # Groups with the host, and roles in the order of their turn.
    groups = ("postgres", "ollama", "litellm", "tool_servers", "gateway")
    roles = ("postgres", "ollama", "litellm", "teams", "tool_server", "gateway")

    # Two platforms at one switch have containers and networks of their own.
    letter = "n"

    def __init__(self, folder: Path, switch: Switch) -> None:
        self.folder, self.switch = folder, switch
        self.network = f"{switch.name}{self.letter}"
        self.prefix = f"{self.network}-"
        self.model = ScriptedModel(WANTED, secrets.token_hex(8), switch.address)
        self.inventory = folder / "inventory"
        self.clients = self.inventory / ".intranet-mcp/clients"
        self.litellm = f"http://{switch.address}:{free_port()}"
        self.gateway = f"http://{switch.address}:{free_port()}"
        self.ollama_port = free_port()
        self._write_inventory()

    @property
    def reached_by(self) -> str:
        """Names and addresses that lead to it, as NO_PROXY lists them."""
        return self.switch.address

    def _write_inventory(self) -> None:
        children = {group: {"hosts": {"here": {}}} for group in self.groups}
        host = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "platform_address": self.switch.address,
        }
        hosts = {"all": {"hosts": {"here": host}, "children": {"platform": {"children": children}}}}
        (self.inventory / "group_vars").mkdir(parents=True)
        (self.inventory / "hosts.yml").write_text(json.dumps(hosts))
        (self.inventory / "group_vars/all.yml").write_text(json.dumps(self.variables()))

    def variables(self) -> dict:
        """Return what the inventory says of everything."""
        return {
            "deployed_roles": self.roles,
            "platform_container_prefix": self.prefix,
            "platform_network": self.network,
            "platform_config_dir": str(self.folder / "etc"),
            "platform_data_dir": str(self.folder / "data"),
            "platform_workspace_dir": str(self.folder / "workspace"),
            "platform_litellm_port": int(self.litellm.rpartition(":")[2]),
            "platform_gateway_port": int(self.gateway.rpartition(":")[2]),
            "mcp_servers": {"browser": {"enabled": False}},
            "litellm_custom_apis": [
                {
                    "model_name": MODEL,
                    "model": MODEL,
                    "api_base": f"{self.model.url}/v1",
                    "api_key": self.model.api_key,
                }
            ],
            "platform_cache_dir": str(ROOT / ".cache/artifacts"),
            "platform_ollama_port": self.ollama_port,
            "ollama_models": SMALL_MODELS,
            "teams": [
                {"name": "payments", "models": [MODEL], "members": [{"alias": "alice"}]},
                {
                    "name": "weights",
                    "models": [SMALL],
                    "mcp": {"example": ["*"]},
                    "members": [{"alias": "bob"}],
                },
            ],
        }

    def play(self, playbook: Path, *arguments, timeout: float = 600, check: bool = True):
        """Run a playbook on the inventory."""
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", self.inventory]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        options = {"cwd": ROOT, "env": environment, "timeout": timeout, "check": check}
        return run(*command, *arguments, playbook, **options)

    def up(self) -> None:
        """Start it."""
        self.play(HERE / "platform.yml")

    def down(self) -> None:
        """Remove it, even when it did not come up."""
        self.play(HERE / "platform.yml", "-e", '{"is_wanted": false}', check=False)
        self.model.close()

    def restart_litellm(self, seconds: float = 240) -> None:
        """Let LiteLLM read its configuration again."""
        run("docker", "restart", f"{self.prefix}litellm")
        deadline = time.monotonic() + seconds
        while status_of(f"{self.litellm}/health/readiness") != 200:
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds} s in vain for LiteLLM at {self.litellm}")
            time.sleep(0.5)  # a container tells nobody when it is ready

    @property
    def key(self) -> str:
        """The key of alice."""
        return (self.inventory / ".intranet-mcp/secrets/key-alice").read_text().strip()

    def audited_calls(self, since: float, seconds: float = 20) -> list[tuple[str, str, str, str]]:
        """Return the tool calls that the gateway logged since a moment."""
        deadline = time.monotonic() + seconds
        while True:
            command = ("docker", "logs", f"--since={since:.3f}", f"{self.prefix}gateway")
            done = run(*command)
            lines = [x for x in (done.stdout + done.stderr).splitlines() if x.startswith("{")]
            calls = [c for c in map(json.loads, lines) if c.get("method") == "tools/call"]
            if calls or time.monotonic() > deadline:
                return [(c["caller"], c["server"], c["name"], c["status"]) for c in calls]
            time.sleep(0.1)  # a container's log tells nobody when it grows


class Machine:
    """A container with Node.js, Python and the CLIs, for one person."""

    def __init__(self, name: str, switch: Switch, *options: str, network: str = "none") -> None:
        self.name = f"{switch.name}-{name}"
        self.switch = switch
        run("docker", "run", "--detach", f"--name={self.name}", f"--network={network}",
            "--user=0", "--entrypoint=sleep", *options, image("tool-base"), "infinity")  # fmt: skip
        switch.connect(self.name)

    def run(
        self, *command, user: str = "0", timeout: float = 180, check: bool = True, **environment
    ):
        """Run a command on it."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        docker = ["docker", "exec", f"--user={user}", *variables, self.name]
        return run(*docker, *command, timeout=timeout, check=check)

    def give(self, source: Path, target: str) -> None:
        """Copy a file or a folder onto it."""
        run("docker", "cp", source, f"{self.name}:{target}")

    def close(self) -> None:
        """Remove it."""
        run("docker", "rm", "--force", "--volumes", self.name, check=False)


def why_not() -> str:
    """Return why such machines cannot be had here, or nothing."""
    if os.geteuid() != 0:
        return "needs root, to give machines a network of their own"
    missing = [tool for tool in ("docker", "ip", "nsenter", "npm") if not shutil.which(tool)]
    if missing:
        return f"needs {', '.join(missing)}"
    if run("docker", "info", check=False).returncode:
        return "needs a running Docker daemon"
    return ""


def status_of(url: str) -> int:
    """Return the status a GET ends in, 0 when nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def as_user(machine, platform, bin_directory, *command, cwd=HOME, **options):
    """Run a command as alice from a login shell; the only way out is a trap."""
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    environment = {
        **dict.fromkeys(proxies, platform.model.url),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), platform.reached_by),
        "HOME": HOME,
        "LANG": "C.UTF-8",
    }
    path = f'PATH="{bin_directory}:$PATH"; export PATH; ' if bin_directory else ""
    script = f'. /etc/profile; [ ! -r ~/.profile ] || . ~/.profile; {path}cd {cwd}; "$@"'
    return machine.run("sh", "-c", script, "sh", *command, user="alice", **environment, **options)


def tools_by_server(names):
    """Count the gateway's tools in one model request, by server; CLIs differ in the prefix."""
    found = [re.match(r"(?:mcp_+)?gw_+(.+?)__", name) for name in names]
    return dict(Counter(match[1] for match in found if match))
