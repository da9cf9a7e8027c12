# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A pod of Ollama that is not there, in check mode and otherwise."""

from __future__ import annotations

import json
import sys

import fake_kubernetes
import pytest
import support
import yaml

POD = {"name": "intranet.mcp.ollama", "tasks_from": "pod"}


@pytest.fixture
def update(tmp_path):
    """Update the models of a pod that is yet to come."""
    cluster = fake_kubernetes.FakeCluster()
    wanted = {"__ollama_pod": "ollama-1", "__ollama_wanted": [{"name": "own:1"}]}
    play = {
        "hosts": "cluster",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.include_role": POD, "vars": wanted}],
    }
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    there = {"hosts": {"cluster": {**here, "ansible_become": False}}}
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    groups = {"all": {"children": {"kubernetes": there, "ollama": there}}}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(groups))
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    variables = {
        "kubernetes_kubeconfig": str(cluster.kubeconfig(tmp_path / "kubeconfig")),
        "kubernetes_namespace": "llm",
        "kubernetes_wait_seconds": 5,
        "ollama_models": [{"name": "own:1"}],
        "ollama_registry": "registry.example.internal:5000",
    }

    def run(*options):
        said = json.dumps(variables)
        return support.run_playbook_alone(tmp_path, inventory, "-e", said, *options)

    yield run
    cluster.close()


def test_check_mode_asks_no_pod_that_is_yet_to_come(update):
    done = update("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_pod_that_does_not_come_is_named(update):
    done = update()
    assert done.returncode == 2
    assert "found no Ollama in pod ollama-1" in done.stdout
