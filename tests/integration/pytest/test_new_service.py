# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""CONTRIBUTING.md adds a service by its role, its entry in the catalog and its image's record.

Its blocks are put into a copy of the collection, and nothing else. What follows from them is seen
at a real container on this machine. The firewall is loaded in a network namespace, since a platform
beside this test may have one on this machine itself.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import support
import yaml
from conftest import http_status, image
from test_firewall import Lab

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(
        not (shutil.which("nft") and shutil.which("ip")), reason="no nft or ip here"
    ),
]

PAGE = (support.REPOSITORY / "CONTRIBUTING.md").read_text()
# Where a block is put that does not make a file of its own.
PLACES = {
    "roles/platform/defaults/main/main.yml": re.compile(r"(?m)(?=^  load_balancer:)"),
    "roles/platform/vars/main/images.yml": re.compile(r"(?m)(?=^  base:$)"),
}
PORT = "8120"
IMAGE = "intranet-mcp/greeter:1.0.0"
RULES = ("tests/unit/test_roles.py", "tests/unit/test_playbooks.py")
# Runs what Ansible sends in the namespace, where neither systemd nor this machine's firewall is.
IN_NAMESPACE = """#!/bin/sh
exec ip netns exec {namespace} sh -c '
mkdir -p /run/intranet-mcp && mount --bind {run} /run/intranet-mcp || exit 1
[ ! -d /run/systemd ] || mount -t tmpfs none /run/systemd || exit 1
exec {python} "$@"' sh "$@"
"""


def blocks(page: str) -> dict[str, str]:
    """Return the page's blocks by the file that the text before each names."""
    found, ended = {}, 0
    for block in re.finditer(r"```\w+\n(.*?)```", page, re.DOTALL):
        named = re.findall(r"`(roles/[^`]+)`", page[ended : block.start()])
        if named:
            found[named[-1]] = block[1]
        ended = block.end()
    return found


def with_block(path: Path, name: str, block: str) -> None:
    """Put a block of the page where the page says."""
    if name in PLACES:
        parts = PLACES[name].split(path.read_text())
        assert len(parts) == 2, f"no place, or several, for the block of {name}"
        path.write_text(block.join(parts))
    else:
        assert not path.exists(), f"{name} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)


def free_port() -> str:
    with socket.create_server(("", 0)) as server:
        return str(server.getsockname()[1])


class Site:
    """The collection with the greeter, and an inventory that has a host for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, suffix = folder, free_port(), secrets.token_hex(3)
        self.container, self.network = f"itest-{suffix}-greeter", f"itest-{suffix}"
        self.collection = folder / "collections/ansible_collections/intranet/mcp"
        self._copy()
        for name, block in blocks(PAGE).items():
            with_block(self.collection / name, name, block.replace(PORT, self.port))
        self.variables = {
            "ansible_python_interpreter": sys.executable,
            "platform_address": "127.0.0.1",
            "platform_container_prefix": f"itest-{suffix}-",
            "platform_network": self.network,
            "platform_config_dir": str(folder / "etc"),
            "platform_data_dir": str(folder / "lib"),
            "platform_users_networks": ["10.77.1.0/24"],
            "platform_secrets": {"key-verify": "sk-nobody"},
            "image_sources": ["build"],
        }
        self.inventory = folder / "inventory"
        self.inventory.mkdir()
        # Verify's users stand on a gateway's host; here it is one that is away.
        away = {"ansible_host": "127.0.0.1", "ansible_port": free_port()}
        groups = {
            "greeters": {"hosts": {"here": {"ansible_connection": "local"}}},
            "gateway": {"hosts": {"away": away | {"ansible_connection": "ssh"}}},
        }
        hosts = {"all": {"vars": self.variables, "children": groups}}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))

    def _copy(self) -> None:
        listed = ["git", "ls-files", "-coz", "--exclude-standard"]
        found = subprocess.run(listed, cwd=support.REPOSITORY, capture_output=True, check=True)
        for name in map(os.fsdecode, filter(None, found.stdout.split(b"\0"))):
            source = support.REPOSITORY / name
            if source.is_file():
                (self.collection / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, self.collection / name)

    def play(self, playbook: str, *arguments: str, fails: bool = False) -> str:
        """Run a playbook of the collection and return what it printed."""
        done = subprocess.run(
            [
                *(Path(sys.executable).with_name("ansible-playbook"), "-i", self.inventory),
                *(self.collection / "playbooks" / f"{playbook}.yml", *arguments),
            ],
            cwd=self.folder,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout[-6000:] + done.stderr
        return done.stdout

    def site(self, *tags: str, **variables: str) -> str:
        """Run plays of site.yml, without the checks of a whole platform."""
        extra = ("-e", json.dumps(variables)) if variables else ()
        chosen = ("--limit", "here", "--tags", ",".join(tags), "--skip-tags", "always")
        return self.play("site", *chosen, *extra)

    def close(self) -> None:
        for command in (
            ("rm", "-f", self.container),
            ("network", "rm", f"{self.network}-greeters"),
            ("image", "rm", IMAGE),
        ):
            subprocess.run(["docker", *command], capture_output=True, check=False)


@pytest.fixture(scope="module")
def site(docker, tmp_path_factory):
    """The site, with nothing deployed yet."""
    image("tool-base")  # which the greeter's is made from
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


def test_the_page_keeps_the_rules_of_the_repository(site):
    for command in (["tests/tools/role_readme.py"], ["-m", "pytest", "-q", *RULES]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=site.collection,
            env={**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider --import-mode=importlib"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert (site.collection / "roles/greeter/README.md").is_file()


def test_a_service_is_deployed_by_its_role_its_entry_and_its_image(site, docker):
    site.site("images", "services")
    with urllib.request.urlopen(f"http://127.0.0.1:{site.port}/", timeout=5) as answer:
        assert answer.read() == b"Hello"
    (found,) = json.loads(docker.run("inspect", site.container))
    assert list(found["NetworkSettings"]["Networks"]) == [f"{site.network}-greeters"]
    assert found["Config"]["Labels"]["intranet.mcp.owner"] == "greeter"

    recap = site.site("images", "services").rpartition("PLAY RECAP")[2]
    assert re.search(r"here +: .*changed=0 ", recap)


def checks(site) -> dict[str, dict]:
    """Return what verify found, by name; it fails here, as most of a platform is not there."""
    site.play("verify", fails=True)
    report = json.loads((site.inventory / ".intranet-mcp/reports/verify.json").read_text())
    return {check["name"]: check for check in report["checks"]}


def test_verify_visits_it(site, docker):
    found = checks(site)
    assert found["greeter is alive"]["status"] == "passed"
    assert found["containers here"]["status"] == "passed", found["containers here"]
    docker.run("stop", "--time=1", site.container)
    found = checks(site)
    assert found["greeter is alive"]["status"] == "failed"
    assert found["containers here"]["found"].startswith(f"{site.container} is stopped")
    site.site("services")
    assert http_status(f"http://127.0.0.1:{site.port}/health") == 200


def test_its_port_is_open_to_its_clients_and_closed_to_others_and_all_of_it_is_removed(
    site, docker, tmp_path
):
    lab = Lab(tmp_path)
    targets = {"user": f"10.77.1.1:{site.port}", "outsider": f"10.77.2.1:{site.port}"}

    def reached() -> dict[str, bool]:
        return {who: bool(lab.reached_by(who, target)) for who, target in targets.items()}

    program = tmp_path / "python"
    (tmp_path / "run").mkdir()
    program.write_text(
        IN_NAMESPACE.format(
            namespace=f"{lab.prefix}host", run=tmp_path / "run", python=sys.executable
        )
    )
    program.chmod(0o755)
    try:
        lab.build()
        lab.listen("host", int(site.port))
        assert reached() == {"user": True, "outsider": True}
        site.site("tool_servers", ansible_python_interpreter=str(program))  # the firewall, too
        assert reached() == {"user": True, "outsider": False}

        site.play("absent", "--limit", "here", "-e", f"ansible_python_interpreter={program}")
        assert reached() == {"user": True, "outsider": True}
    finally:
        lab.close()
    assert docker.try_run("inspect", site.container).returncode != 0
    assert docker.run("network", "ls", "-q", "--filter", f"name={site.network}") == ""
    assert not (site.folder / "etc").exists()
    assert docker.try_run("image", "inspect", IMAGE).returncode == 0, "images stay, as data do"
