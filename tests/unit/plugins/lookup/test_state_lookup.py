# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Secrets and Ansible's own reading of an inventory, without any configuration of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
HOSTS = """
all:
  vars: {{ansible_connection: local, ansible_python_interpreter: "{python}"}}
  children: {{gateway: {{hosts: {{{name}: {{}}}}}}}}
"""
PLAYBOOK = """
- hosts: gateway
  gather_facts: false
  roles: [intranet.mcp.platform]
  tasks:
    - ansible.builtin.command: echo {{ lookup('intranet.mcp.secret', 'litellm_master_key')[:3] }}
    - intranet.mcp.files:
        directories: [{path: "{{ item }}", mode: "0700"}]
        files: [{path: "{{ item }}/x", content: x}]
      loop: ["{{ platform_reports_dir }}", "{{ platform_cache_dir }}", "{{ platform_clients_dir }}"]
"""


class Folder:
    """An empty folder of an engineer who has the collection and nothing else of ours."""

    def __init__(self, path):
        self.path = path
        (path / "play.yml").write_text(PLAYBOOK)

    def inventory(self, name, *hosts):
        (self.path / name).mkdir()
        for host in hosts:
            text = HOSTS.format(name=host, python=sys.executable)
            (self.path / name / f"{host}.yml").write_text(text)
        return self.path / name

    def run(self, program, *arguments):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
        return subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            cwd=self.path,
            env={
                **kept,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/collections"),
                "ANSIBLE_HOME": str(self.path / "home"),
            },
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def play(self, *inventories, check=False):
        sources = [word for name in inventories for word in ("-i", name)]
        done = self.run("ansible-playbook", *sources, "play.yml", *(["--check"] if check else []))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def hosts(self, *inventories):
        sources = [word for name in inventories for word in ("-i", name)]
        done = self.run("ansible", *sources, "all", "--list-hosts")
        assert "WARNING" not in done.stderr
        return done.stdout.split()[2:]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_after_a_run_only_hosts_are_hosts(folder):
    inventory = folder.inventory("my inventory", "llm1")
    folder.play("my inventory")
    kept = {str(path.relative_to(inventory)) for path in inventory.rglob("*") if path.is_file()}
    assert kept == {
        "llm1.yml",
        ".intranet-mcp/secrets/litellm_master_key",
        *(f".intranet-mcp/{kind}/x" for kind in ("reports", "cache", "clients")),
    }
    assert folder.hosts("my inventory") == ["llm1"]


def test_what_an_earlier_version_left_is_moved_and_said_once(folder):
    inventory = folder.inventory("inv", "llm1", "llm2")
    (inventory / "secrets").mkdir(mode=0o700)
    (inventory / "secrets/litellm_master_key").write_text("sk-old-value\n")
    assert "sk-old-value" in folder.run("ansible", "-i", "inv", "all", "--list-hosts").stdout
    before = folder.play("inv", check=True)
    assert "moved" not in before
    assert (inventory / "secrets").exists()
    said = folder.play("inv/llm1.yml")
    assert said.count("secrets moved from") == 1
    assert (inventory / ".intranet-mcp/secrets/litellm_master_key").read_text() == "sk-old-value\n"
    assert folder.hosts("inv") == ["llm1", "llm2"]
    assert "moved" not in folder.play("inv")


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a"), ("a/llm1.yml", "b/llm2.yml")])
def test_several_inventories_have_one_place(folder, order):
    first, second = folder.inventory("a", "llm1"), folder.inventory("b", "llm2")
    folder.play(*order)
    used = [path for path in (first, second) if (path / ".intranet-mcp").exists()]
    assert used == [first if order[0].startswith("a") else second]
    folder.play(*reversed(order))
    assert [path for path in (first, second) if (path / ".intranet-mcp").exists()] == used
    assert sorted(folder.hosts("a", "b")) == ["llm1", "llm2"]
