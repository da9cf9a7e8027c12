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
    - intranet.mcp.files:
        directories:
          - path: "{{ platform_reports_dir }}"
          - path: "{{ platform_cache_dir }}"
          - path: "{{ platform_clients_dir }}"
        files:
          - {path: "{{ platform_reports_dir }}/x", content: "{{ secret[:3] }}"}
          - {path: "{{ platform_cache_dir }}/x", content: x}
          - {path: "{{ platform_clients_dir }}/x", content: x}
      vars:
        secret: "{{ lookup('intranet.mcp.secret', 'litellm_master_key', prefix='sk-') }}"
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

    def play(self, *words):
        sources = [part for w in words for part in ([w] if w.startswith("-") else ["-i", w])]
        done = self.run("ansible-playbook", *sources, "play.yml")
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


def test_after_a_run_only_hosts_are_hosts_and_a_task_needed_one_connection(folder):
    inventory = folder.inventory("my inventory", "llm1")
    said = folder.play("my inventory", "-vvv")
    assert " EXEC " in said
    assert " PUT " not in said
    kept = {str(path.relative_to(inventory)) for path in inventory.rglob("*") if path.is_file()}
    assert kept == {
        "llm1.yml",
        ".intranet-mcp/.gitignore",
        ".intranet-mcp/secrets/litellm_master_key",
        *(f".intranet-mcp/{kind}/x" for kind in ("reports", "cache", "clients")),
    }
    assert folder.hosts("my inventory") == ["llm1"]
    assert (inventory / ".intranet-mcp/.gitignore").read_text() == "*\n"


def test_what_an_earlier_version_left_is_moved_and_said_once(folder):
    inventory = folder.inventory("inv", "llm1", "llm2")
    (inventory / "secrets").mkdir(mode=0o700)
    (inventory / "secrets/litellm_master_key").write_text("sk-old-value\n")
    assert "moved" not in folder.play("inv", "--check")
    assert (inventory / "secrets").exists()
    assert folder.play("inv").count("secrets moved from") == 1
    assert (inventory / ".intranet-mcp/secrets/litellm_master_key").read_text() == "sk-old-value\n"
    assert folder.hosts("inv") == ["llm1", "llm2"]


def test_several_inventories_have_one_place_in_any_order(folder):
    first, second = folder.inventory("a", "llm1"), folder.inventory("b", "llm2")
    for order in (["a", "b"], ["b/llm2.yml", "a/llm1.yml"]):
        folder.play(*order)
        assert (first / ".intranet-mcp").exists()
        assert not (second / ".intranet-mcp").exists()
