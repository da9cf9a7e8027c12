# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What push.yml pushes, and from where, as far as the inventory decides it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import support
import yaml
from ansible_collections.intranet.mcp.plugins.filter.images import unpinned

PLAYBOOK = support.REPOSITORY / "playbooks" / "push.yml"
EXTRA = {"ollama": {"mirror": "harbor.example.internal/ollama:1"}, "redis": {"digest": "old"}}
GROUPS = {"gateway": ["app"], "litellm": ["app"], "ollama": ["gpu", "cpu"], "postgres": ["app"]}


def written(plays, path):
    """The plays, with one task that writes what is to be pushed in the place of all that push."""
    seen = (
        "{'names': image_names, 'ca': platform_ca_bundle, 'extra': __image_digests,"
        " 'own': [image_record_path, image_work_path]}"
    )
    writes = {
        "ansible.builtin.copy": {
            "content": f"{{{{ {seen} | to_json }}}}",
            "dest": str(path),
            "mode": "0600",
        }
    }

    def changed(task):
        return {**task, "block": [writes]} if "block" in task else task

    known = {
        "vars_files": [str(support.REPOSITORY / "roles/image/vars/main.yml")],
        "vars": {"image_pushed": {"images": {"redis": {"digest": "sha256:new"}}}},
    }
    return [{**play, **known, "tasks": [changed(task) for task in play["tasks"]]} for play in plays]


def push(folder, *arguments):
    """Play it as an engineer does whose hosts need sudo, and whose own machine has none."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {"app": local, "cpu": local, "gpu": {**local, "nvidia_gpu": True}}
    children = {
        group: {"hosts": {host: {} for host in members}} for group, members in GROUPS.items()
    }
    sudo = {"ansible_become": True, "ansible_become_user": "nobody"}
    site = {"platform_ca_bundle": "{{ inventory_dir }}/../ca.crt", "image_extra": EXTRA, **sudo}
    site["ansible_become_exe"] = "/no/sudo"
    (folder / "inventory").mkdir()
    inventory = {"all": {"hosts": hosts, "children": children, "vars": site}}
    (folder / "inventory" / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (folder / "ca.crt").write_text("PEM\n")
    plays = written(yaml.safe_load(PLAYBOOK.read_text()), folder / "seen")
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    return support.run_playbook_alone(folder, "inventory", *arguments)


def pushed(folder):
    done = push(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "seen").read_text())


def test_each_host_s_images_are_pushed_and_files_beside_the_inventory_are_found(tmp_path):
    seen = pushed(tmp_path)
    assert {"ollama", "ollama-cuda"} <= {*seen["names"]}  # one host has a GPU, one has none
    assert "redis" not in seen["names"] and seen["names"] == sorted({*seen["names"]})
    # Put into group_vars, the file takes the place of all that image_extra said before.
    assert seen["extra"] == {**EXTRA, "redis": {"digest": "sha256:new"}}
    assert Path(seen["ca"]).samefile(tmp_path / "ca.crt")
    # Not where root alone may write.
    assert all(Path(own).is_relative_to(tmp_path / "inventory") for own in seen["own"])


def test_on_another_host_it_pushes_with_the_inventorys_account(tmp_path):
    done = push(tmp_path, "-e", "push_host=gpu")
    assert done.returncode and "waiting for become success" in done.stdout + done.stderr
    assert not (tmp_path / "seen").exists()


def test_digests_of_an_earlier_push_are_not_asked_of_a_bundle_or_a_build():
    built = {"version": "8.0", "digest": "sha256:old", "recipe": {"context": "x"}}
    fetched = {"version": "1", "digest": "sha256:theirs", "recipe": None}
    found = unpinned({"redis": built, "ollama-cuda": fetched})
    assert not found["redis"]["digest"] and found["ollama-cuda"] == fetched
    assert built["digest"] == "sha256:old"
