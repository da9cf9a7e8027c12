# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The built collection works where it is installed, without this repository."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

KINDS = ("module", "lookup")


@pytest.fixture
def doc(installed):
    """Return a function that gives ansible-doc's JSON for one kind of plugins."""

    def ask(kind, *arguments):
        answer = subprocess.run(
            ["ansible-doc", "--type", kind, "--json", *arguments],
            cwd=installed.directory,
            env={**os.environ, **installed.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    return ask


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_shows_its_documentation(doc, kind):
    names = list(doc(kind, "--list", "intranet.mcp"))
    assert names
    shown = doc(kind, *names)
    assert not [name for name in names if not shown[name]["doc"]["description"]]


def test_playbooks_are_found_by_the_collections_name(run, installed, root, tmp_path):
    for playbook in sorted((installed.directory / "playbooks").glob("*.yml")):
        name = f"intranet.mcp.{playbook.stem}"
        command = ["ansible-playbook", "--syntax-check", "-i", root / "inventories/light", name]
        run(*command, cwd=tmp_path, **installed.environment)


@pytest.mark.parametrize(
    ("playbook", "tier", "expected"),
    [
        (
            "flows",
            "standard",
            ["load_balancer", "192.0.2.0/24", "app1, app2, app3", "flowchart LR"],
        ),
        ("flows", "local", ["this_machine", "container network"]),
        ("versions", "standard", ["ollama-cuda", "gpu1, gpu2", "images.yml"]),
    ],
)
def test_what_an_inventory_means_is_printed_without_its_hosts(
    installed, root, tmp_path, playbook, tier, expected
):
    """The hosts of the examples exist nowhere: a run that asked one would fail."""
    answer = subprocess.run(
        ["ansible-playbook", "-i", root / f"inventories/{tier}", f"intranet.mcp.{playbook}"],
        cwd=tmp_path,
        env={**os.environ, **installed.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert not [text for text in expected if text not in answer.stdout]


def test_artifact_brings_the_documentation_that_its_readmes_link(installed):
    for readme in ("README.md", "README.zh-CN.md"):
        text = (installed.directory / readme).read_text()
        links = re.findall(r"\]\(((?:docs|roles)/[^)#]+)", text)
        assert [link for link in links if link.endswith(".png")]
        assert not [link for link in links if not (installed.directory / link).exists()]


def test_artifact_holds_no_caches_and_no_secrets(installed):
    names = [path.relative_to(installed.directory) for path in installed.directory.rglob("*")]
    unwanted = {".cache", ".venv", ".git", ".pytest_cache", ".ruff_cache", "__pycache__", "secrets"}
    assert not [str(name) for name in names if unwanted & set(name.parts)]
