# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Images on a node of a cluster without a registry, with a ctr that keeps them in files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import support
import yaml

sys.path.insert(0, str(Path(__file__).parent / "plugins" / "plugin_utils" / "images"))

from test_nodes import NEW, REDIS, bundle  # noqa: F401  a fixture

NAME = f"docker.io/{REDIS}"
# One image: imported or not, and its label.
CTR = """#!/bin/sh
set -eu
[ "$1 $3 $4 $5" = "--address --namespace k8s.io images" ]
folder=$(dirname "$2")
shift 5
case "$1" in
ls)
    echo "REF TYPE DIGEST SIZE PLATFORMS LABELS"
    [ ! -e "$folder/image" ] || echo "NAME t sha256:01 30.0 MiB linux/amd64 $(cat "$folder/label")"
    ;;
import) cp "$2" "$folder/image" && echo - > "$folder/label" ;;
label) [ "$2" = NAME ] && echo "$3" > "$folder/label" ;;
esac
"""


@pytest.fixture
def node(tmp_path, bundle, monkeypatch):  # noqa: F811
    """Return a function that has the images on a node: with --check or without."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ctr").write_text(CTR.replace("NAME", NAME))
    (programs / "ctr").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    here |= {
        "ansible_become": False,
        "image_bundle_path": bundle,
        "image_work_path": str(tmp_path / "work"),
        "image_containerd_socket": str(tmp_path / "containerd.sock"),
    }
    groups = {"kubernetes_nodes": {"hosts": {"node1": here}}}
    nodes = {"name": "intranet.mcp.image", "tasks_from": "nodes"}
    wanted = {"ansible.builtin.include_role": nodes, "vars": {"__image_of_pods": [REDIS]}}
    play = {"hosts": "kubernetes_nodes", "gather_facts": False, "tasks": [wanted]}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))

    def run(*options: str):
        return support.run_playbook_alone(tmp_path, "hosts.yml", *options)

    run.folder = tmp_path
    return run


def test_what_a_node_lacks_is_imported_once(node):
    said = node("--check").stdout
    assert REDIS in said and "changed=1" in said
    assert not (node.folder / "image").exists()
    done = node()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (node.folder / "label").read_text() == f"intranet.mcp/archive=sha256:{NEW}\n"
    assert [*(node.folder / "work").iterdir()] == []
    assert "changed=0" in node().stdout


def test_a_node_without_ctr_is_refused(node):
    (node.folder / "bin" / "ctr").unlink()
    done = node()
    assert done.returncode == 2
    assert "install ctr, correct image_containerd_socket" in " ".join(done.stdout.split())
