# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A certificate from a real ACME server, which asks over HTTP through HAProxy, as in production.

The server is Pebble, Let's Encrypt's own for tests, compiled from its Go module.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.filter.balancer import acme_thumbprint
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.haproxy_config import render
from conftest import CACHE, http_status, image, wait_until
from servers.balancer import PORTS

pytestmark = pytest.mark.integration

NAME = "llm.example.internal"
OTHER_NAME = "models.example.internal"
PEBBLE = "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1"
PLAY = [
    {
        "hosts": "balancer",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Do the control node's part",
                "ansible.builtin.include_role": {
                    "name": "intranet.mcp.load_balancer",
                    "tasks_from": "{{ item }}",
                },
                "loop": ["acme_keys", "acme_order"],
            }
        ],
    }
]


@pytest.fixture(scope="session")
def pebble_program(docker):
    """Compile Pebble, once."""
    program = CACHE / "pebble" / PEBBLE.rpartition("@")[2] / "pebble"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        toolchain = image("toolchain")
        place = ("--rm", "--network=host", f"--volume={program.parent}:/out")
        go = ("--env=GOBIN=/out", "--env=CGO_ENABLED=0", toolchain, "go", "install", PEBBLE)
        command = ["docker", "run", *place, *go]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs Pebble from a Go module mirror: {done.stderr.strip()[-200:]}")
    return program


class Site:
    """An ACME server, a balancer that it can reach by name, and the control node's secrets."""

    def __init__(self, docker, pebble_program, folder):
        self.docker, self.folder = docker, folder
        self.tls = folder / ".intranet-mcp" / "secrets" / "tls"
        self.authority = folder / "authority.pem"
        self._certify(folder)
        configuration = {
            "listenAddress": "0.0.0.0:14000",
            "managementListenAddress": "0.0.0.0:15000",
            "certificate": "/t/authority.pem",
            "privateKey": "/t/authority.key",
            "httpPort": PORTS["redirect"],
            "tlsPort": 443,
            "certificateValidityPeriod": 90 * 86400,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": configuration}))
        self.pebble = docker.start(
            "pebble",
            image("base"),
            "--publish=127.0.0.1::14000",
            f"--volume={pebble_program.parent}:/p:ro",
            f"--volume={folder}:/t:ro",
            command=["/p/pebble", "-config", "/t/pebble.json"],
            env={"PEBBLE_VA_NOSLEEP": "1"},
        )
        self.port = docker.address(self.pebble, 14000).rpartition(":")[2]

    def _certify(self, folder):
        """Sign the certificate of the ACME server's own address."""
        folder.chmod(0o755)
        make = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        files = ("-nodes", "-keyout", folder / "authority.key", "-out", self.authority)
        what = ("-subj", "/CN=acme", "-addext", "subjectAltName=IP:127.0.0.1")
        subprocess.run([*make, *files, *what], check=True, capture_output=True)
        (folder / "authority.key").chmod(0o644)

    def play(self, tasks, check=True, **variables):
        """Run parts of the role on the control node."""
        play = [{**PLAY[0], "tasks": [{**PLAY[0]["tasks"][0], "loop": tasks}]}]
        (self.folder / "play.yml").write_text(yaml.safe_dump(play))
        address = {"ansible_connection": "local", "platform_address": "127.0.0.1"}
        groups = {name: {"hosts": {"balancer": address}} for name in ("load_balancer", "litellm")}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))
        given = {
            "platform_public_name": NAME,
            "load_balancer_acme_directory": f"https://127.0.0.1:{self.port}/dir",
            "load_balancer_acme_ca_file": str(self.authority),
            "load_balancer_tls_renew_days": 30,
            **variables,
        }
        playbook = Path(sys.executable).with_name("ansible-playbook")
        inventory = ("-i", self.folder / "hosts.yml", "-e", json.dumps(given))
        done = subprocess.run(
            [playbook, *inventory, self.folder / "play.yml"],
            cwd=support.REPOSITORY,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def start_balancer(self):
        """Start HAProxy with the account's thumbprint, and the certificate that it has so far."""
        thumbprint = acme_thumbprint((self.tls / "acme-account.key").read_text())
        settings = {
            "tls": True,
            "public_port": 443,
            "ports": PORTS,
            "timeout_seconds": 30,
            "connect_seconds": 1,
            "check_seconds": 1,
            "max_connections": 500,
            "acme_thumbprint": thumbprint,
        }
        pool = {"service": "litellm", "ready": "/r", "alive": "/a", "servers": []}
        served = self.folder / "served"
        served.mkdir()
        (served / "haproxy.cfg").write_text(render([pool], settings))
        pem = (self.tls / "acme-first.crt").read_text() + (self.tls / "acme.key").read_text()
        (served / "tls.pem").write_text(pem)
        container = self.docker.start(
            "acme-balancer",
            image("haproxy"),
            f"--network-alias={NAME}",
            f"--network-alias={OTHER_NAME}",
            "--publish=127.0.0.1::8080",
            "--tmpfs=/run/haproxy:uid=99,gid=99",
            f"--volume={served}:/config:ro",
            f"--volume={served}:/secrets:ro",
            command=["haproxy", "-W", "-db", "-f", "/config/haproxy.cfg"],
        )
        self.url = f"http://{self.docker.address(container, 8080)}"
        challenge = f"{self.url}/.well-known/acme-challenge/token"
        wait_until(lambda: http_status(challenge) == 200, 30, "HAProxy")

    def certificate(self):
        """Return issuer, names and serial number, as openssl reads them."""
        shown = ("-noout", "-issuer", "-serial", "-ext", "subjectAltName")
        command = ["openssl", "x509", "-in", self.tls / "acme.crt", *shown]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def site(docker, pebble_program, tmp_path_factory):
    made = Site(docker, pebble_program, tmp_path_factory.mktemp("acme"))
    made.play(["acme_keys"])
    made.start_balancer()
    return made


def test_a_certificate_is_ordered_once_and_again_when_it_ends_soon_or_gets_a_name(site, docker):
    assert "changed=0" not in site.play(["acme_keys", "acme_order"])
    first = site.certificate()
    assert "Pebble" in first and f"DNS:{NAME}" in first
    assert site.tls.joinpath("acme.crt").read_text().count("BEGIN CERTIFICATE") > 1
    assert "changed=0" in site.play(["acme_keys", "acme_order"])
    assert site.certificate() == first
    site.play(["acme_order"], load_balancer_tls_renew_days=365)
    second = site.certificate()
    assert second != first and OTHER_NAME not in second
    site.play(["acme_keys", "acme_order"], load_balancer_tls_names=[OTHER_NAME])
    assert f"DNS:{OTHER_NAME}" in site.certificate()


def test_an_unreachable_server_is_one_message_and_the_certificate_stays(site, docker):
    site.play(["acme_keys", "acme_order"])
    before = site.certificate()
    nobody = "https://127.0.0.1:9/dir"
    due = {"load_balancer_acme_directory": nobody, "load_balancer_tls_renew_days": 365}
    said = site.play(["acme_order"], check=False, **due)
    assert "gave no certificate; the present one is still served" in said
    assert f"expected: a certificate for {NAME}" in said
    assert site.certificate() == before


def test_a_name_that_is_not_ours_is_refused(site):
    said = site.play(
        ["acme_keys", "acme_order"], check=False, platform_public_name="elsewhere.example.internal"
    )
    assert "expected: a certificate for elsewhere.example.internal" in said


def test_without_a_name_nothing_is_asked(site):
    said = site.play(["acme_keys"], check=False, platform_public_name="")
    assert "found no name for the ACME server's certificate" in said
