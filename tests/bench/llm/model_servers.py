# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Ollamas with real weights, one that answers at once, and LiteLLMs in front of them."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from pathlib import Path

import conftest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer import haproxy_config
from conftest import MASTER_KEY, http_status, image, wait_until
from process import tree
from servers import configured_litellm, scripted_ollama
from servers.balancer import PORTS
from servers.configured_litellm import PORT

MODEL, CONTEXT = "smollm2:135m", 8192
HOSTS = ("gpu1", "gpu2")
PORT_LITELLM = 4000
BALANCER = {
    "tls": False,
    "public_port": 80,
    "ports": PORTS,
    "timeout_seconds": 600,
    "connect_seconds": 5,
    "check_seconds": 2,
    "max_connections": 500,
}
FACTS = {MODEL: {"capabilities": ["completion", "tools"], "context": CONTEXT}}
# Tools come first, as in the templates of models that call them.
TEMPLATE = """{{ if .Tools }}<|im_start|>system
{{ range .Tools }}{{ . }}
{{ end }}<|im_end|>
{{ end }}{{ range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
WITHOUT = ("[google_paths.handler, prefix_affinity.handler]", "[google_paths.handler]")


class Servers:
    """What the bench asks, in containers that end with it."""

    def __init__(self, docker, folder: Path, slots: int) -> None:
        self.docker, self.folder, self.started = docker, folder, {}
        self.ollamas = {host: self._ollama(host, slots) for host in HOSTS}

    def _ollama(self, host: str, slots: int) -> str:
        container = self.docker.start(
            host,
            image("ollama"),
            "--publish=127.0.0.1::11434",
            f"--network-alias={host}-ollama",
            env={
                "OLLAMA_HOST": f"0.0.0.0:{PORT}",
                "OLLAMA_NO_CLOUD": "1",
                "OLLAMA_KEEP_ALIVE": "1h",
                "OLLAMA_NUM_PARALLEL": str(slots),
            },
        )
        url = f"http://{self.docker.address(container, PORT)}"
        wait_until(lambda: http_status(f"{url}/api/version") == 200, 60, url)
        weights = Path(conftest.fetch_weights(conftest.CACHE / "artifacts")).read_bytes()
        digest = f"sha256:{hashlib.sha256(weights).hexdigest()}"
        post(f"{url}/api/blobs/{digest}", weights)
        made = {"model": MODEL, "files": {"model.gguf": digest}, "template": TEMPLATE}
        post(f"{url}/api/create", {**made, "stream": False})
        return url

    def reset(self) -> None:
        """Empty every prefix cache, and load the model again."""
        for url in self.ollamas.values():
            post(f"{url}/api/generate", {"model": MODEL, "keep_alive": 0})
            options = {"num_ctx": CONTEXT}
            post(f"{url}/api/generate", {"model": MODEL, "options": options, "stream": False})

    def litellm(self, count: int, is_kept: bool) -> tuple[str, str]:
        """Start a LiteLLM before this many Ollamas; return its address and its container."""
        name = f"litellm-{count}-{'kept' if is_kept else 'random'}"
        if name not in self.started:
            self.started[name] = self._litellm(name, HOSTS[:count], is_kept)
        return self.started[name]

    def scripted(self) -> tuple[str, str, str]:
        """Start an Ollama that answers at once and a LiteLLM; return addresses and container."""
        source = Path(scripted_ollama.__file__)
        container = self.docker.start(
            "scripted",
            image("gateway"),
            "--publish=127.0.0.1::11434",
            "--network-alias=scripted-ollama",
            f"--volume={source}:/srv/ollama.py:ro",
            "--entrypoint=python3",
            command=("/srv/ollama.py", str(PORT)),
        )
        direct = f"http://{self.docker.address(container, PORT)}"
        return direct, *self._litellm("litellm-scripted", ("scripted",), is_kept=True)

    def balancer(self, litellm: str) -> str:
        """Start HAProxy, without TLS, before a LiteLLM's container; return its address."""
        inspected = json.loads(self.docker.run("inspect", litellm))
        ((_name, network),) = inspected[0]["NetworkSettings"]["Networks"].items()
        address = f"{network['IPAddress']}:{PORT_LITELLM}"
        server = {"name": "app1", "address": address, "is_name": False}
        alive = "/health/liveliness"
        pool = {"service": "litellm", "ready": alive, "alive": alive, "servers": [server]}
        text = haproxy_config.render([pool], BALANCER)
        (self.folder / "haproxy.cfg").write_text(text)
        container = self.docker.start(
            "balancer",
            image("haproxy"),
            "--publish=127.0.0.1::8443",
            f"--volume={self.folder}/haproxy.cfg:/config/haproxy.cfg:ro",
            "--tmpfs=/run/haproxy:uid=99,gid=99",
            command=("haproxy", "-W", "-db", "-f", "/config/haproxy.cfg"),
        )
        url = f"http://{self.docker.address(container, 8443)}"
        wait_until(lambda: http_status(f"{url}/health") == 200, 60, url)
        return url

    def _litellm(self, name: str, hosts: tuple, is_kept: bool) -> tuple[str, str]:
        folder = self.folder / name
        folder.mkdir()
        models = [{"name": MODEL, "context": CONTEXT}]
        addresses = {host: host for host in hosts}
        configured_litellm.render(
            folder, addresses, [hosts[0]], ollama_models=models, ollama_facts=FACTS
        )
        config = folder / hosts[0] / "config.yaml"
        if not is_kept:
            config.write_text(config.read_text().replace(*WITHOUT))
        self.folder.chmod(0o755)
        container = configured_litellm.start(
            self.docker, image("litellm"), name, config.parent, MASTER_KEY
        )
        url = f"http://{self.docker.address(container, PORT_LITELLM)}"
        wait_until(lambda: http_status(f"{url}/health/liveliness") == 200, 300, url)
        self._warm_up(url)
        return url, container

    def _warm_up(self, url: str) -> None:
        """Let LiteLLM load what it loads with the first request, which takes seconds."""
        messages = [{"role": "user", "content": "Hello."}]
        body = {"model": MODEL, "messages": messages, "max_tokens": 1}
        post(f"{url}/v1/messages", body, Authorization=f"Bearer {MASTER_KEY}")

    def cpu_seconds(self, container: str) -> float:
        """Return the CPU time that the processes of a container have taken."""
        pid = self.docker.run("inspect", "--format={{.State.Pid}}", container)
        return tree(int(pid))[0].cpu


def post(url: str, body: dict | bytes, **headers: str) -> None:
    """Send what needs no answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=1800) as response:
        response.read()
