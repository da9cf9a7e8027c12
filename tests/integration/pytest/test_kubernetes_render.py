# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""playbooks/render.yml with the example inventory: the roles' own definitions as objects.

No cluster is asked, and no host: those of the example are this machine under their addresses.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import support
import yaml

pytestmark = pytest.mark.integration
EXAMPLE = support.REPOSITORY / "inventories" / "enterprise"
HERE = {"ansible_connection": "local", "ansible_become": False}
# Kinds of others, of which Kubernetes has no schema.
OF_OTHERS = {"ServiceMonitor"}


class Site:
    """The example inventory in a directory of the test."""

    def __init__(self, folder: Path):
        self.inventory = folder / "inventory"
        shutil.copytree(EXAMPLE, self.inventory, ignore=shutil.ignore_patterns(".*"))
        hosts = self.inventory / "hosts.yml"
        listed = yaml.safe_load(hosts.read_text())
        for said in listed["all"]["hosts"].values():
            if "ansible_host" in said:
                said |= {"platform_address": said["ansible_host"], **HERE}
        hosts.write_text(yaml.safe_dump(listed))

    def render(self) -> str:
        """Run the playbook; returns what it said."""
        program = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(
            [program, "-i", self.inventory, "playbooks/render.yml"],
            cwd=support.REPOSITORY,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def files(self) -> dict[str, str]:
        folder = self.inventory / ".intranet-mcp" / "kubernetes" / "cluster"
        return {path.name: path.read_text() for path in folder.iterdir()}

    def secrets(self) -> dict[str, str]:
        folder = self.inventory / ".intranet-mcp" / "secrets"
        return {path.name: path.read_text().strip() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    found = Site(tmp_path_factory.mktemp("enterprise"))
    found.said = found.render()
    return found


def test_every_service_of_the_cluster_has_a_file(site):
    expected = {"gateway", "litellm", "platform", "postgres", "redis", "tool-browser"}
    assert {*site.files()} == {f"{name}.yml" for name in expected | {"tool-example"}}


@pytest.mark.parametrize("version", ["1.33", kubernetes_validate.latest_version()])
def test_every_object_is_valid(site, version):
    checked = 0
    for text in site.files().values():
        for one in yaml.safe_load_all(text):
            if one["kind"] not in OF_OTHERS:
                kubernetes_validate.validate(one, version, strict=True)
                checked += 1
    assert checked > 30


def test_no_file_tells_a_secret(site):
    secrets = site.secrets()
    assert {"litellm_master_key", "postgres_password", "gateway_session_key"} <= {*secrets}
    text = "".join(site.files().values())
    assert not [name for name, value in secrets.items() if value in text]
    assert not re.search(r"^kind: Secret$", text, re.MULTILINE)
    assert "Secret litellm-secrets with DATABASE_URL, LITELLM_MASTER_KEY" in site.said


def test_services_reach_each_other_by_name_and_hosts_outside_by_address(site):
    found = site.files()
    assert "url: http://litellm:4000" in found["gateway.yml"]
    assert "http://tool-example:8104/" in found["gateway.yml"]
    assert "api_base: http://192.0.2.41:11434" in found["litellm.yml"]
    assert "registry.example.internal/intranet-mcp/litellm:" in found["litellm.yml"]


def test_the_same_inventory_changes_nothing(site):
    before = site.files()
    assert re.search(r"^cluster\s*:.* changed=0 ", site.render(), re.MULTILINE)
    assert site.files() == before
