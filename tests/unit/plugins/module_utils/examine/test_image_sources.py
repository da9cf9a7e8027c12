# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine.image_sources import (
    image_problems,
    missing_images,
)


def test_images_are_missing_by_name_or_as_a_whole():
    assert missing_images(["a:1", "b:1"], {"a:1"}) == ["b:1"]
    assert missing_images([], {"debian:12"}) == ["intranet-mcp/*"]
    assert missing_images([], {"intranet-mcp/redis:7"}) == []


REDIS, CUDA = "intranet-mcp/redis:8", "intranet-mcp/ollama-cuda:1"
BUILD = {"name": "build", "urls": ["https://mirror"]}
BUNDLE = {"name": "bundle", "path": "/b"}
ASKED = {
    REDIS: {"ways": ["bundle", "r.example/redis:8", "build"], "places": ["r.example/redis:8"]},
    CUDA: {"ways": ["bundle", "r.example/cuda:1"], "places": ["r.example/cuda:1"]},
}
NO_REDIS = {"r.example/redis:8": "r.example/redis:8 is not there"}
NO_CUDA = {"r.example/cuda:1": "r.example/cuda:1 is not there"}


@pytest.mark.parametrize(
    ("ways", "failures", "lacking"),
    [
        ([BUILD], {}, []),
        ([BUILD], NO_REDIS, []),  # it is built
        ([BUILD], NO_CUDA, [CUDA]),  # it cannot be built
        ([BUILD], {**NO_REDIS, "https://mirror": "refused"}, [REDIS]),
        ([BUNDLE, BUILD], {**NO_REDIS, **NO_CUDA}, []),
        ([BUNDLE], {**NO_CUDA, "/b": "does not exist"}, [CUDA]),
        ([], {**NO_REDIS, **NO_CUDA}, [REDIS, CUDA]),
    ],
)
def test_each_image_needs_a_source_that_has_it(ways, failures, lacking):
    problems = image_problems([REDIS, CUDA], ways, failures, ASKED)
    assert [image for image in ASKED if any(image in p.found for p in problems)] == lacking
    for problem in problems:
        assert any(reason in problem.found for reason in failures.values())


def test_a_registry_that_is_away_is_one_problem_for_all_its_images():
    failures = dict.fromkeys([*NO_REDIS, *NO_CUDA], "r.example does not answer (refused)")
    (problem,) = image_problems(
        [REDIS, CUDA], [], failures, {k: {**v, "ways": []} for k, v in ASKED.items()}
    )
    assert REDIS in problem.found and CUDA in problem.found
    assert problem.found.count("does not answer") == 1
    assert "built" not in problem.found, "the site does not build"


def test_an_image_that_is_only_fetched_is_not_waited_for_from_a_build():
    (problem,) = image_problems([CUDA], [BUILD], {}, {CUDA: {"ways": ["bundle"], "places": []}})
    assert "cannot be built, only fetched" in problem.found
    assert "image_registry_prefix" in problem.action


def held(architecture, digest=""):
    """Return what a bundle's index says of an image."""
    return {"architecture": architecture, "digest": digest}


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("sha256:a", ""),
        ("sha256:b", "the bundle declares sha256:b of it, pinned is sha256:a"),
        ("", "the bundle declares no digest of it, pinned is sha256:a"),
    ],
)
def test_a_bundle_is_a_source_of_a_pinned_image_only_by_its_digest(declared, words):
    bundle = {**BUNDLE, "holds": {CUDA: held("amd64", declared)}}
    asked = {CUDA: {"ways": ["bundle"], "places": [], "digest": "sha256:a"}}
    problems = image_problems([CUDA], [bundle], {}, asked, "x86_64")
    assert [words in problem.found for problem in problems] == ([True] if words else [])


@pytest.mark.parametrize(
    ("holds", "words"),
    [
        ({CUDA: held("amd64")}, ""),
        ({CUDA: held("")}, ""),  # an older bundle does not say
        ({REDIS: held("amd64")}, "the bundle does not hold it"),
        ({CUDA: held("arm64")}, "the bundle holds it for arm64, this host is amd64"),
        (None, ""),  # what it holds is not known
    ],
)
def test_a_bundle_is_a_source_of_what_it_holds_for_this_architecture(holds, words):
    bundle = {**BUNDLE, "holds": holds}
    problems = image_problems([CUDA], [bundle, BUILD], NO_CUDA, ASKED, "x86_64")
    assert [words in problem.found for problem in problems] == ([True] if words else [])
    assert image_problems([CUDA], [bundle], {}, ASKED, "x86_64") == [], "a registry has it"


def test_images_nobody_asked_about_need_no_source():
    assert image_problems(["intranet-mcp/*"], [], {}, {}) == []
    assert (
        image_problems(["intranet-mcp/*"], [{**BUNDLE, "holds": {REDIS: held("")}}], {}, {}) == []
    )
