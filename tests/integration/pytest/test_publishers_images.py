# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Publishers' images of Redis, HAProxy, LiteLLM and Ollama, out of a mirror, run by the roles.

What the mirror holds stands in for the publishers' images (servers/publishers.py); PostgreSQL's is
in test_registries.py, those of MCP servers in test_mcp_images.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.images import registry_login
from conftest import CACHE, image, wait_until
from servers import publishers
from servers.container_registry import TRUST, push
from test_model_sources import free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="roles hand files to the users of containers"),
]

MANIFEST = yaml.safe_load((support.REPOSITORY / "roles/platform/vars/main/images.yml").read_text())[
    "image_manifest"
]
SERVICES = {"redis": "redis", "load_balancer": "haproxy", "ollama": "ollama", "litellm": "litellm"}
USERS = {
    "redis": "999:999",
    "load_balancer": "99:99",
    "ollama": "10001:10001",
    "litellm": "10001:10001",
}
MODEL = "smollm2:135m"
ROLES = ("postgres", "redis", "ollama", "litellm", "load_balancer")
DEPLOY = [
    {
        "include_role": {"name": "intranet.mcp.image"},
        "vars": {"image_names": sorted(publishers.STAND_INS)},
    },
    *({"include_role": {"name": f"intranet.mcp.{role}"}} for role in ROLES),
]


class Site:
    """One host with everything between people and a model, whose images come out of a mirror."""

    def __init__(self, docker, folder: Path, company) -> None:
        self.docker, self.folder = docker, folder
        # The tag alone is the test's own: nobody else's image on this engine is replaced.
        self.tag = f"itest-{docker.suffix}"
        self.prefix = f"itest-{docker.suffix}-"
        self.names = {name: self.prefix + name for name in ("postgres", *SERVICES)}
        docker.containers += self.names.values()
        ports = ("litellm", "ollama", "balancer", "balancer_redirect", "balancer_metrics")
        self.ports = {name: free_port("127.0.0.1") for name in (*ports, "balancer_inside")}
        self.variables = {
            "platform_container_prefix": self.prefix,
            "platform_network": docker.network,
            "platform_config_dir": str(folder / "etc"),
            "platform_data_dir": str(folder / "data"),
            "platform_secrets_dir": str(folder / "secrets"),
            "platform_cache_dir": str(CACHE / "artifacts"),
            "platform_balancer_tls": False,
            **{f"platform_{name}_port": port for name, port in self.ports.items()},
            "image_sources": ["registry"],
            "image_registry_mirrors": {
                registry: f"{company.host}/{registry}" for registry in ("docker.io", "ghcr.io")
            },
            "image_extra": {name: {"version": self.tag} for name in publishers.STAND_INS},
            "docker_registry_ca": {company.host: str(company.authority)},
            "docker_registry_logins": [{"registry": company.host, **company.login}],
            "ollama_models": [{"name": MODEL, "file": "smollm2-135m", "context": 2048}],
            "ollama_sources": ["file"],
        }

    def deploy(self, tasks=DEPLOY, **more) -> str:
        """Run the roles; returns what was said."""
        play = {"hosts": "here", "gather_facts": False, "roles": ["intranet.mcp.platform"]}
        (self.folder / "play.yml").write_text(yaml.safe_dump([{**play, "tasks": tasks}]))
        here = {"ansible_connection": "local", "platform_address": "127.0.0.1"}
        here["ansible_python_interpreter"] = sys.executable
        groups = {role: {"hosts": {"here": {}}} for role in ROLES}
        inventory = {"all": {"hosts": {"here": here}, "children": groups}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        (self.folder / "vars.yml").write_text(yaml.safe_dump({**self.variables, **more}))
        program = Path(sys.executable).parent / "ansible-playbook"
        done = subprocess.run(
            [
                *(program, "-i", self.folder / "hosts.yml", "-e", f"@{self.folder}/vars.yml"),
                self.folder / "play.yml",
            ],
            cwd=support.REPOSITORY,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done.stdout

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text().strip()

    def inspect(self, service: str) -> dict:
        return json.loads(self.docker.run("inspect", self.names[service]))[0]

    def ask(self, path: str, body: dict | None = None) -> dict:
        """Ask LiteLLM by way of the balancer."""
        key = self.secret("litellm_master_key")
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['balancer']}{path}",
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=90) as response:
            return json.load(response)


def mirror(docker, company) -> None:
    """Have the stand-ins in the company's registry, and nowhere else."""
    logins = [{"registry": company.host, **company.login}]
    with registry_login.environment(logins) as variables:
        for name in publishers.STAND_INS:
            made = publishers.build(name, image(name), f"itest-publisher-{name}:{docker.suffix}")
            registry, _slash, path = MANIFEST[name]["upstream"].partition("/")
            push(made, f"{company.host}/{registry}/{path}", variables)
            docker.run("image", "rm", made)


@pytest.fixture(scope="module")
def site(docker, company, tmp_path_factory):
    image("postgres")
    folder = tmp_path_factory.mktemp("publishers-images")
    made = Site(docker, folder, company)
    try:
        made.deploy(TRUST)
        mirror(docker, company)
        made.deploy()
        yield made
    finally:
        for name in made.names.values():
            docker.try_run("rm", "-fv", name)
        for name in publishers.STAND_INS:
            docker.try_run("image", "rm", f"intranet-mcp/{name}:{made.tag}")
        shutil.rmtree(folder / "data", ignore_errors=True)


@pytest.mark.parametrize("service", SERVICES)
def test_a_publishers_image_runs_as_the_role_says(site, service):
    found = site.inspect(service)
    name = SERVICES[service]
    assert found["State"]["Health"]["Status"] == "healthy"
    assert found["Config"]["Image"] == f"intranet-mcp/{name}:{site.tag}"
    assert "intranet.mcp.recipe" not in found["Config"]["Labels"], "it is one of ours"
    assert found["Config"]["User"] == USERS[service]
    assert found["HostConfig"]["ReadonlyRootfs"] and found["HostConfig"]["CapDrop"] == ["ALL"]
    assert [mount for mount in found["Mounts"] if mount["Type"] == "volume"] == []


def test_people_reach_a_model_through_all_of_them(site):
    wait_until(lambda: site.ask("/v1/models")["data"], 30, "LiteLLM behind the balancer")
    question = {"role": "user", "content": "Name the capital of France."}
    asked = {"model": MODEL, "temperature": 0, "max_tokens": 8, "messages": [question]}
    answer = site.ask("/v1/chat/completions", asked)
    assert answer["choices"][0]["message"]["content"].strip()
    assert answer["usage"]["completion_tokens"] > 0


def test_a_publishers_litellm_migrates_its_database_itself(site):
    psql = ("exec", site.names["postgres"], "psql", "-U", "litellm", "-d", "litellm", "-tAc")
    count = 'select count(*) from "_prisma_migrations" where finished_at is not null'
    assert int(site.docker.run(*psql, count)) > 50
    assert site.docker.run(*psql, 'select count(*) from "LiteLLM_VerificationToken"').isdigit()


def test_a_publishers_redis_wants_the_password_and_is_used(site):
    ask = ("exec", site.names["redis"], "sh", "-c")
    assert "NOAUTH" in site.docker.run(*ask, "redis-cli dbsize")
    password = site.secret("redis_password")
    clients = site.docker.run(*ask, f"REDISCLI_AUTH={password} redis-cli client list")
    assert len(clients.splitlines()) > 1, "LiteLLM is not connected"


def test_a_reload_keeps_every_container(site):
    before = {service: site.inspect(service)["Id"] for service in SERVICES}
    said = site.deploy(load_balancer_timeout_seconds=601)
    assert {service: site.inspect(service)["Id"] for service in SERVICES} == before
    assert re.search(r"Serve the new configuration\] \*+\nchanged: \[here\]", said), said[-3000:]
