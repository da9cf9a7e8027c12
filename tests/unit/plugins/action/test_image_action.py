# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import io
import json
import re
import tarfile
import types
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.intranet.mcp.plugins.action import image
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest as images

ROOT = Path(__file__).resolve().parents[4]
MANIFEST = yaml.safe_load((ROOT / "roles/platform/vars/main/images.yml").read_text())[
    "image_manifest"
]

BUILT = sorted(name for name, entry in MANIFEST.items() if entry["recipe"])


@pytest.fixture
def action(tmp_path):
    plugin = image.ActionModule.__new__(image.ActionModule)
    plugin._loader = types.SimpleNamespace(path_dwim=lambda path: str(tmp_path / path))
    return plugin


def test_every_recipe_of_the_manifest_is_in_the_collection(action):
    arguments = {"names": list(MANIFEST), "manifest": MANIFEST}
    recipes = action.module_arguments(arguments, {})["recipes"]
    assert sorted(recipes) == sorted(BUILT)


@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_every_image_says_where_it_comes_from_and_why(name):
    entry = MANIFEST[name]
    assert {"version", "upstream", "digest", "why", "tested", "recipe"} <= set(entry)
    assert isinstance(entry["version"], str)
    assert ("built here" in entry["tested"]) == (name in BUILT)
    assert name in BUILT or entry["upstream"]
    assert entry["upstream"] is None or "not run here" in entry["tested"]


@pytest.mark.parametrize("name", [name for name in BUILT if MANIFEST[name]["recipe"].get("needs")])
def test_dockerfile_takes_the_images_it_needs_as_arguments(action, name):
    action.module_arguments({"names": [name], "manifest": MANIFEST}, {})
    dockerfile = action._contexts[name]["Dockerfile"][1].decode()
    for need in MANIFEST[name]["recipe"]["needs"]:
        assert f"ARG {need.upper().replace('-', '_')}\n" in dockerfile
    for argument in MANIFEST[name]["recipe"].get("args", {}):
        assert f"ARG {argument}\n" in dockerfile


def test_lock_files_carry_no_addresses(action):
    action.module_arguments({"names": list(MANIFEST), "manifest": MANIFEST}, {})
    for name, files in action._contexts.items():
        for path, (_mode, content) in files.items():
            if path.endswith("package-lock.json"):
                packages = json.loads(content)["packages"]
                assert not [key for key, value in packages.items() if "resolved" in value], name
            if path.endswith(("requirements.txt", ".lock")):
                assert b"://" not in content, name


@pytest.mark.parametrize("name", BUILT)
def test_pip_installs_nothing_but_what_a_lock_names_by_hash(action, name):
    action.module_arguments({"names": [name], "manifest": MANIFEST}, {})
    files = action._contexts[name]
    dockerfile = files.get("Dockerfile", (False, b""))[1].decode()
    assert "pip install" not in dockerfile
    if "pip-add " in dockerfile and "PACKAGE" not in MANIFEST[name]["recipe"].get("args", {}):
        assert "requirements.lock" in files
        assert "constraints.txt" not in files
        if "pyproject.toml" in files:
            assert "build.lock" in files
    for path in (path for path in files if path.endswith(".lock")):
        text = files[path][1].decode()
        wanted = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
        hashed = re.findall(r"^[A-Za-z0-9._-]+==\S+(?: ; .*)? \\\n    --hash=sha256:", text, re.M)
        assert len(hashed) == len(wanted) > 0, path


def test_change_of_a_base_changes_all_that_is_made_from_it(action, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "Dockerfile").write_text("ARG GROUND\nFROM ${GROUND}\n")
    (tmp_path / "ground").mkdir()
    (tmp_path / "ground" / "Dockerfile").write_text("FROM scratch\n")
    manifest = {
        "ground": {"version": "1", "recipe": {"context": "ground"}},
        "own": {"version": "1", "recipe": {"context": "own", "needs": ["ground"]}},
    }
    arguments = {"names": ["own"], "manifest": manifest}
    before = action.module_arguments(arguments, {})["recipes"]
    (tmp_path / "ground" / "Dockerfile").write_text("FROM scratch\nUSER 1\n")
    after = action.module_arguments(arguments, {})["recipes"]
    assert before["own"] != after["own"]


def test_missing_context_is_named_with_the_place_to_correct(action):
    manifest = {"own": {"version": "1", "recipe": {"context": "nowhere"}}}
    with pytest.raises(AnsibleActionFail, match=r"own: 'nowhere' is not .*image_extra"):
        action.module_arguments({"names": ["own"], "manifest": manifest}, {})


def test_archive_keeps_permissions_and_nothing_of_this_machine(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "run").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "run").chmod(0o700)
    (tmp_path / ".dockerignore").write_text("# notes\nnotes\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo").write_text("x")
    contexts = {"own": image.read_context(str(tmp_path), [])}
    with tarfile.open(fileobj=io.BytesIO(image.packed(contexts))) as archive:
        members = {member.name: member for member in archive}
    assert sorted(members) == ["own/.dockerignore", "own/bin/run"]
    assert members["own/bin/run"].mode == 0o755
    assert (members["own/bin/run"].uid, members["own/bin/run"].mtime) == (0, 0)


def test_names_in_the_manifest_are_valid_in_a_reference():
    for reference in images.references(MANIFEST).values():
        assert reference == reference.lower()
