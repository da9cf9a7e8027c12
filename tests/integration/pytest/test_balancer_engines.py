# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The engine is changed in the inventory: the role puts one container in the other's place.

The role runs as site.yml runs it, on this machine, with a container that answers for LiteLLM beside
it, under names and ports of the test's own.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import support
import yaml
from conftest import image

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="the role writes files of other users"),
]

REPLICA = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())
http.server.ThreadingHTTPServer(("", 4000), Handler).serve_forever()
"""
PROGRAMS = {"haproxy": "haproxy", "traefik": "traefik-start"}
DRAIN = {"name": "intranet.mcp.load_balancer", "tasks_from": "drain"}
ROTATE = {"name": "intranet.mcp.load_balancer", "tasks_from": "rotate"}
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"name": "Drain removed replicas", "ansible.builtin.include_role": DRAIN},
            {
                "name": "Run",
                "ansible.builtin.include_role": {"name": "intranet.mcp.load_balancer"},
            },
            {
                "name": "Drain the replica, and give it back",
                "ansible.builtin.include_role": ROTATE,
                "loop": ["drain", "ready"],
                "vars": {
                    "load_balancer_replica": {
                        "service": "litellm",
                        "state": "{{ item }}",
                        "timeout_seconds": 30,
                    }
                },
            },
        ],
    }
]


class Site:
    """An inventory of one host that is everything, and the role's runs on it."""

    def __init__(self, folder: Path):
        self.folder, self.suffix = folder, secrets.token_hex(3)
        self.prefix = f"itest-{self.suffix}-"
        self.container = f"{self.prefix}load_balancer"
        self.network = f"itest-{self.suffix}"
        self.ports = dict(
            zip(("public", "redirect", "inside", "metrics"), free_ports(4), strict=True)
        )
        (folder / "play.yml").write_text(yaml.safe_dump(PLAY))
        zone = f"{self.network}-litellm"
        self.command("docker", "network", "create", zone)
        place = ("--network", zone, "--name", f"{self.prefix}litellm")
        program = ("python3", "-c", REPLICA)
        self.command("docker", "run", "-d", "--init", *place, image("tool-base"), *program)

    def run(self, engine: str, **variables) -> dict:
        """Run the role; returns how many tasks changed something, and what was said."""
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(self.inventory(engine, variables)))
        done = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                "-i",
                self.folder / "hosts.yml",
                self.folder / "play.yml",
            ],
            cwd=support.REPOSITORY,
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout[done.stdout.find("{") :]
        stats = json.loads(said)["stats"]["host"] if done.stdout else {}
        return {"rc": done.returncode, "said": done.stdout + done.stderr, **stats}

    def inventory(self, engine, variables) -> dict:
        places = {name: str(self.folder / name) for name in ("etc", "var", "secrets")}
        found = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "platform_address": "127.0.0.1",
            "platform_container_prefix": self.prefix,
            "platform_network": self.network,
            "platform_config_dir": places["etc"],
            "platform_data_dir": places["var"],
            "platform_secrets_dir": places["secrets"],
            "platform_public_name": "localhost",
            "platform_users_networks": ["127.0.0.0/8"],
            "load_balancer_ca_names": ["new.example"],
            "load_balancer_engine": engine,
            "load_balancer_check_seconds": 1,
            "load_balancer_stop_seconds": 3,
            **variables,
        }
        own = {
            "public": "port",
            **{name: f"{name}_port" for name in self.ports if name != "public"},
        }
        for name, suffix in own.items():
            found[f"platform_balancer_{suffix}"] = self.ports[name]
        groups = ("load_balancer", "litellm")
        children = {group: {"hosts": {"host": {}}} for group in groups}
        return {"all": {"vars": found, "hosts": {"host": {}}, "children": children}}

    def ask(self, path="/v1/models"):
        """Return what the replica says through the balancer, over TLS with the platform's CA."""
        trusted = ssl.create_default_context(cafile=self.folder / "secrets" / "tls" / "ca.crt")
        url = f"https://localhost:{self.ports['public']}{path}"
        with urllib.request.urlopen(url, timeout=10, context=trusted) as answer:
            return answer.read().decode()

    def names(self) -> set[str]:
        """Return whom the certificate that is served is for."""
        trusted = ssl.create_default_context(cafile=self.folder / "secrets" / "tls" / "ca.crt")
        place = ("localhost", self.ports["public"])
        with (
            socket.create_connection(place, timeout=10) as plain,
            trusted.wrap_socket(plain, server_hostname=place[0]) as connection,
        ):
            return {name for _kind, name in connection.getpeercert()["subjectAltName"]}

    def identity(self):
        form = "{{.Id}} {{index .Config.Cmd 0}} {{.Config.User}} {{.HostConfig.ReadonlyRootfs}}"
        return self.command("docker", "inspect", "--format", form, self.container).split()

    def is_served_by(self, engine):
        form = "{{index .Config.Cmd 0}}"
        command = ["docker", "inspect", "--format", form, self.container]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return found.stdout.strip() == PROGRAMS[engine]

    def command(self, *words):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self):
        for name in (self.container, f"{self.prefix}litellm"):
            subprocess.run(["docker", "rm", "-fv", name], capture_output=True, check=False)
        zones = ("litellm", "load_balancer")
        self.command("docker", "network", "rm", *[f"{self.network}-{zone}" for zone in zones])


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("", 0)) for _ in range(count)]
    found = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return found


@pytest.fixture(scope="module")
def make_site(docker, tmp_path_factory):
    """Return a function that makes a site of its own, gone at the end."""
    for name in ("haproxy", "traefik"):
        image(name)
    made = []

    def make():
        made.append(Site(tmp_path_factory.mktemp("site")))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture(scope="module")
def site(make_site):
    """One for several tests, because a run takes a while."""
    return make_site()


def test_the_engine_is_changed_there_and_back(site):
    """One test, because each of its steps needs the one before and a run takes a while."""
    check_served_by(site, "haproxy")
    check_served_by(site, "traefik")
    before = site.identity()

    second = site.run("traefik")
    assert (second["rc"], second["changed"]) == (0, 2), second["said"][-4000:]  # drain and ready

    third = site.run("traefik", load_balancer_connect_seconds=3)
    assert third["rc"] == 0, third["said"][-4000:]
    assert site.identity() == before, "a setting is reloaded, the container stays"
    assert '"dialTimeout": "3s"' in (site.folder / "var/load_balancer/run/dynamic.yml").read_text()
    assert site.ask() == "/v1/models"

    check_served_by(site, "haproxy")


def test_what_was_written_but_not_taken_into_use_is_so_by_the_next_run(site):
    """A run that ends in between, killed or failed, must not leave the old certificate served."""
    if not site.is_served_by("haproxy"):  # as the test before leaves it
        check_served_by(site, "haproxy")
    master = site.folder / "var/load_balancer/run/master.sock"
    aside = master.rename(master.with_suffix(".aside"))
    failed = site.run("haproxy", load_balancer_tls_names=["new.example"])
    assert failed["rc"] == 2, failed["said"][-4000:]
    assert "does not answer" in failed["said"]
    assert "new.example" not in site.names()

    aside.rename(master)
    second = site.run("haproxy", load_balancer_tls_names=["new.example"])
    assert second["rc"] == 0, second["said"][-4000:]
    assert "new.example" in site.names()

    third = site.run("haproxy", load_balancer_tls_names=["new.example"])
    assert (third["rc"], third["changed"]) == (0, 2), third["said"][-4000:]  # drain and ready


def test_without_tls_no_certificate_is_asked_for(make_site):
    site = make_site()
    done = site.run("haproxy", platform_balancer_tls=False)
    assert done["rc"] == 0, done["said"][-4000:]
    with urllib.request.urlopen(
        f"http://localhost:{site.ports['public']}/v1/models", timeout=10
    ) as answer:
        assert answer.read() == b"/v1/models"
    assert not (site.folder / "secrets" / "tls").exists()


def check_served_by(site, engine):
    done = site.run(engine)
    assert done["rc"] == 0, done["said"][-4000:]
    _id, program, user, is_read_only = site.identity()
    assert program == PROGRAMS[engine]
    assert is_read_only == "true"
    assert not user.startswith("0")
    assert site.ask() == "/v1/models"
