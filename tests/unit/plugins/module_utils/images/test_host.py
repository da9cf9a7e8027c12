# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which images a host lacks, and where each would come from."""

from __future__ import annotations

import platform

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images.host import Images
from ansible_collections.intranet.mcp.plugins.module_utils.images.sources import architecture_of

MANIFEST = {
    "redis": {"version": "1", "upstream": "docker.io/redis", "digest": None, "recipe": {}},
    "tool": {"version": "1", "upstream": None, "digest": None, "recipe": {"context": "tool"}},
}


# What engines call the architecture of this machine.
HERE = architecture_of(platform.machine())


@pytest.fixture
def images(tmp_path):
    """Return a function that makes a host's images with options of the module."""

    def make(**params):
        given = {
            "manifest": MANIFEST,
            "names": ["tool"],
            "sources": ["build"],
            "force": [],
            "recipes": {"tool": "r1"},
            "bundle_path": str(tmp_path / "bundle"),
            "record_path": str(tmp_path / "images.json"),
            "work_path": str(tmp_path / "work"),
            "registry_prefix": "",
            "registry_mirrors": {},
            "registry_upstream": False,
            "registry_logins": {},
            "progress_file": None,
            "build_timeout": 60,
            **params,
        }
        return Images(given)

    return make


def found(recipe="r1", architecture=HERE):
    return {"id": "sha256:1", "architecture": architecture, "recipe": recipe, "digests": []}


def test_an_image_of_this_recipe_is_there_and_one_of_another_is_missing(images):
    host = images()
    assert host.missing({"tool": found()}) == []
    assert host.missing({"tool": found("r0")}) == ["tool"]
    assert host.missing({}) == ["tool"]


def test_an_image_that_is_forced_is_missing_though_it_is_there(images):
    assert images(force=["tool"]).missing({"tool": found()}) == ["tool"]


def test_an_image_of_another_machine_is_missing(images):
    assert images().missing({"tool": found(architecture="s390x")}) == ["tool"]


def test_where_nothing_is_built_an_older_recipe_is_kept(images):
    """Until the bundle is renewed it is all that such a site can have."""
    assert images(sources=["bundle"]).missing({"tool": found("r0")}) == []


def test_a_plan_says_from_where_and_gets_nothing(images):
    host = images()
    told = host.plan({})
    assert host.done["tool"]["source"] == "build"
    assert (told["bundle_missing"], host.done["tool"]["id"]) == (False, None)
    assert images(sources=["bundle"]).plan({})["bundle_missing"] is True


def test_a_sites_registry_comes_before_a_build_only_if_it_is_first(images):
    for sources, expected in ((["registry", "build"], "registry"), (["build"], "build")):
        host = images(sources=sources, registry_prefix="registry.internal/mcp")
        host.plan({})
        assert host.done["tool"]["source"] == expected


def test_what_came_from_nowhere_names_each_source_and_why(images):
    host = images(sources=["registry"])
    host.engine.inspect = lambda _references: {}
    with pytest.raises(Unusable, match=r"image tool .*registry: no registry holds it"):
        host.obtain({})
