# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible.utils.vars import merge_hash
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest as images
from ansible_collections.intranet.mcp.plugins.module_utils.images import sources as image_sources

MANIFEST = {
    "base": {"version": "13", "recipe": {"seconds": 20}},
    "tools": {"version": "1", "recipe": {"needs": ["base"], "seconds": 40}},
    "server": {"version": "2", "recipe": {"needs": ["tools"], "seconds": 90}},
    "runner": {"version": "2", "recipe": {"needs": ["tools"], "seconds": 280}},
    "app": {"version": "2", "recipe": {"needs": ["base", "server", "runner"], "seconds": 5}},
    "redis": {"version": "8.0", "recipe": {"needs": ["base"], "seconds": 5}},
}
FILES = {"Dockerfile": (False, b"FROM base\n"), "run.sh": (True, b"#!/bin/sh\n")}


def entry(**recipe):
    return {"version": "1.0", "recipe": {"context": "x", **recipe}}


def test_needs_come_before_what_is_made_from_them():
    order = images.build_order(MANIFEST, ["app"])
    assert order.index("base") < order.index("tools") < order.index("runner") < order.index("app")
    assert "redis" not in order


def test_images_that_need_each_other_are_named():
    circle = {"a": entry(needs=["b"]), "b": entry(needs=["a"])}
    with pytest.raises(Unusable, match="a -> b -> a"):
        images.build_order(circle, ["a"])


def test_a_need_that_nobody_makes_is_named():
    with pytest.raises(Unusable, match="'a' needs 'nothing'"):
        images.build_order({"a": entry(needs=["nothing"])}, ["a"])


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(Unusable, match=r"'reddis'.*base, redis"):
        images.check({"base": entry(), "redis": entry()}, ["reddis"])


def test_only_what_is_missing_is_built():
    present = {"base": {"recipe": "b"}, "tools": {"recipe": "old"}, "runner": {"recipe": "r"}}
    recipes = {"base": "b", "tools": "t", "server": "s", "runner": "r", "app": "a"}
    assert images.to_build(MANIFEST, ["app"], present, recipes) == ["tools", "server", "app"]


def test_what_a_present_image_was_made_from_is_not_checked():
    present = {"base": {"recipe": "b"}, "server": {"recipe": "s"}, "runner": {"recipe": "r"}}
    recipes = {"base": "b", "tools": "t", "server": "s", "runner": "r"}
    assert images.to_build(MANIFEST, ["app"], present, recipes) == ["app"]


def test_nothing_is_built_upon_an_image_of_somebody_else():
    recipes = {name: name for name in MANIFEST}
    present = {name: {"recipe": name} for name in MANIFEST if name != "app"}
    assert images.to_build(MANIFEST, ["app"], present, recipes) == ["app"]
    present["server"] = {"recipe": None}  # its publisher's, under the right name
    assert images.to_build(MANIFEST, ["app"], present, recipes) == ["server", "app"]


def test_image_from_elsewhere_is_taken_for_its_version():
    assert images.is_current({"recipe": None}, "wanted")
    assert not images.is_current({"recipe": "old"}, "wanted")
    assert not images.is_current(None, "wanted")


def test_longest_work_begins_first():
    names = images.by_urgency(MANIFEST, ["redis", "base", "tools", "server", "runner", "app"])
    assert names == ["base", "tools", "runner", "server", "redis", "app"]


def test_nothing_is_ready_before_its_needs_are_built():
    assert images.ready(MANIFEST, ["tools", "server"], {"base"}, set()) == []
    assert images.ready(MANIFEST, ["tools", "redis"], set(), set()) == ["tools", "redis"]
    assert images.ready(MANIFEST, ["server"], set(), {"tools"}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"files": {**FILES, "run.sh": (True, b"#!/bin/sh\nexit 1\n")}},
        {"files": {**FILES, "run.sh": (False, b"#!/bin/sh\n")}},
        {"files": {**FILES, "new": (False, b"")}},
        {"needs": ["another"]},
        {"entry": entry(args={"A": "2"})},
        {"entry": {**entry(args={"A": "1"}), "version": "1.1"}},
    ],
)
def test_every_change_of_a_recipe_changes_its_hash(change):
    known = {"entry": entry(args={"A": "1"}), "files": FILES, "needs": ["b"]}
    assert images.recipe_hash(**known) != images.recipe_hash(**{**known, **change})


def test_where_files_lie_and_how_long_it_takes_is_no_part_of_the_recipe():
    here = entry(context="roles/a", seconds=1)
    there = entry(context="/elsewhere", seconds=99)
    assert images.recipe_hash(here, FILES, []) == images.recipe_hash(there, FILES, [])


@pytest.mark.parametrize(
    ("path", "is_ignored"),
    [
        ("src/app.py", False),
        ("src/__pycache__/app.cpython-311.pyc", True),
        (".hypothesis/examples/1", True),
        ("tests/test_app.py", True),
        ("src/tests.py", False),
    ],
)
def test_what_no_image_needs_stays_out(path, is_ignored):
    assert images.is_ignored(path, ["tests"]) is is_ignored


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("Step 7/12 : RUN cmake  -S x", (7, 12, "RUN cmake -S x")),
        ("#9 [build 3/8] RUN go build", (3, 8, "RUN go build")),
        ("#9 [2/4] COPY . /src", (2, 4, "COPY . /src")),
        (" ---> Using cache", None),
        ("#9 1.204 Step by step", None),
    ],
)
def test_steps_of_both_builders_are_recognised(line, step):
    assert images.build_step(line) == step


def test_packages_of_mcp_servers_become_images():
    servers = {
        "tickets": {"pip": "acme-tickets==2.1.0"},
        "maps": {"npm": "@acme/maps@1.0.3"},
        "files": {"image": "tool-filesystem"},
        "far": {"url": "https://mcp.example"},
    }
    manifest = images.manifest_of_servers(servers, ["tool-filesystem"])
    assert manifest["tool-tickets"]["version"] == "2.1.0"
    assert manifest["tool-maps"]["recipe"]["args"] == {"PACKAGE": "@acme/maps@1.0.3"}
    assert sorted(manifest) == ["tool-maps", "tool-tickets"]
    assert images.names_of_servers(servers) == ["tool-filesystem", "tool-maps", "tool-tickets"]


@pytest.mark.parametrize("package", ["acme", "acme>=2", "@acme/maps", "acme==", "acme==2.*"])
def test_unpinned_package_is_refused(package):
    kind = "npm" if package.startswith("@") else "pip"
    with pytest.raises(Unusable, match="exact version"):
        images.manifest_of_servers({"acme": {kind: package}}, [])


def test_a_site_names_an_image_of_its_own_by_its_full_reference():
    place = "registry.example.internal:5000/acme/tickets"
    digest = "sha256:" + "a" * 64
    servers = {"tickets": {"image": f"{place}:2.1.0"}, "maps": {"image": f"{place}@{digest}"}}
    manifest = images.manifest_of_servers(servers, [])
    assert manifest["tool-tickets"]["version"] == "2.1.0"
    for name, expected in (("tool-tickets", f"{place}:2.1.0"), ("tool-maps", f"{place}@{digest}")):
        found = image_sources.places(name, manifest[name], "", {}, False)
        assert [str(one) for one in found] == [expected]
    assert images.names_of_servers(servers) == ["tool-maps", "tool-tickets"]


@pytest.mark.parametrize("name", ["bridge", "base", "python"])
@pytest.mark.parametrize("source", [{"image": "acme/x:1"}, {"pip": "acme==1"}])
def test_no_server_is_called_so_that_others_would_run_its_image(name, source):
    """The bridge, above all, is mounted into every publisher's container."""
    servers = {name: source, "example": {"image": "tool-python"}}
    with pytest.raises(Unusable, match=f"mcp_servers.{name}: .*'tool-{name}', which .*;"):
        images.manifest_of_servers(servers, ["tool-bridge", "tool-base", "tool-python"])


def test_a_publishers_image_for_a_built_in_server_is_run_as_that_and_never_built():
    servers = {"github": {"image": "ghcr.io/github/github-mcp-server:v1.0.0", "port": 1}}
    built_in = {"tool-github": {"version": "1", "upstream": None, "recipe": {"context": "x"}}}
    own = images.manifest_of_servers(servers, built_in)
    everything = merge_hash(built_in, own)  # as `combine` does in the platform role
    assert not everything["tool-github"]["recipe"]
    assert images.foreign_of_servers(servers, everything) == ["tool-github"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [("no-such-tool", "a name of the manifest"), ("registry.example.internal/x", "is pinned")],
)
def test_an_image_nobody_can_have_is_refused(image, expected):
    with pytest.raises(Unusable, match=expected):
        images.manifest_of_servers({"acme": {"image": image}}, ["tool-python"])


def test_names_are_the_same_wherever_an_image_came_from():
    assert images.references({"redis": {"version": "8.0"}}) == {"redis": "intranet-mcp/redis:8.0"}


@pytest.mark.parametrize(
    "sources",
    [
        "deb http://mirror.example.internal/debian/ bookworm main\n"
        "deb [signed-by=/k] http://mirror.example.internal/debian-security bookworm-security x\n",
        "Types: deb\nURIs: http://mirror.example.internal/debian\nSuites: trixie trixie-updates\n\n"
        "Types: deb\nURIs: http://mirror.example.internal/debian-security\n"
        "Suites: trixie-security\nComponents: main\n",
    ],
    ids=["one-line", "deb822"],
)
def test_debian_comes_from_where_the_host_itself_gets_it(sources):
    assert images.debian_mirrors(sources) == (
        "http://mirror.example.internal/debian",
        "http://mirror.example.internal/debian-security",
    )


@pytest.mark.parametrize(
    "sources",
    [
        "",
        "# deb http://mirror.example.internal/debian bookworm main\n",
        "deb http://mirror.example.internal/ubuntu noble main\n",
        "Enabled: no\nURIs: http://mirror.example.internal/debian\nSuites: trixie\n",
    ],
    ids=["nothing", "comment", "ubuntu", "disabled"],
)
def test_a_host_without_a_mirror_of_debian_has_none(sources):
    assert images.debian_mirrors(sources) == ("", "")


def test_new_base_does_not_compile_again_what_holds_nothing_of_it():
    manifest = {
        "tools": {"version": "1", "recipe": {}},
        "program": {"version": "2", "recipe": {"needs": ["tools"], "contains_needs": False}},
        "app": {"version": "2", "recipe": {"needs": ["tools"]}},
    }
    before, after = {"tools": "old"}, {"tools": "new"}
    program = images.hashes_of_needs(manifest, "program", before)
    assert program == images.hashes_of_needs(manifest, "program", after)
    app = images.hashes_of_needs(manifest, "app", before)
    assert app != images.hashes_of_needs(manifest, "app", after)
    manifest["tools"]["version"] = "2"
    assert program != images.hashes_of_needs(manifest, "program", after)
