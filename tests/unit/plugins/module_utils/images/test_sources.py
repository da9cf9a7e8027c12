# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import sources
from ansible_collections.intranet.mcp.plugins.module_utils.images.sources import Place, Wanted

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
REDIS = {"version": "8.0", "upstream": "docker.io/library/redis:8.0", "recipe": {"context": "x"}}
MIRRORS = {"docker.io": "harbor.example/dockerhub", "ghcr.io": "harbor.example/ghcr/"}


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        ("redis", Place("docker.io", "library/redis", "latest")),
        ("redis:8.0", Place("docker.io", "library/redis", "8.0")),
        ("ollama/ollama:1", Place("docker.io", "ollama/ollama", "1")),
        ("localhost/x:1", Place("localhost", "x", "1")),
        ("r.example:5000/a/b:1", Place("r.example:5000", "a/b", "1")),
        (f"r.example/a@{DIGEST}", Place("r.example", "a", "", DIGEST)),
        (f"r.example/a:1@{DIGEST}", Place("r.example", "a", "1", DIGEST)),
    ],
)
def test_references_are_read_as_the_engine_reads_them(reference, place):
    assert sources.parse(reference) == place
    assert sources.parse(place.full) == place


def pulled(name, entry, prefix="", mirrors=None, upstream=False):
    found = sources.places(name, entry, prefix, mirrors or {}, upstream)
    return [str(place) for place in found]


def test_a_mirror_has_the_paths_of_its_publisher():
    assert pulled("redis", REDIS, mirrors=MIRRORS) == ["harbor.example/dockerhub/library/redis:8.0"]
    tool = {"version": "1", "upstream": "ghcr.io/acme/x:1", "named": True}
    assert pulled("x", tool, mirrors=MIRRORS) == [
        "harbor.example/ghcr/acme/x:1",
        "ghcr.io/acme/x:1",
    ]


def test_the_sites_own_registry_is_asked_first_and_the_publisher_last():
    assert pulled("redis", REDIS, "reg.example/x/", MIRRORS, True) == [
        "reg.example/x/redis:8.0",
        "harbor.example/dockerhub/library/redis:8.0",
        "docker.io/library/redis:8.0",
    ]
    assert pulled("redis", REDIS) == []


def test_an_exact_place_is_the_only_one():
    entry = {**REDIS, "mirror": "harbor.example/ai/redis:8"}
    assert pulled("redis", entry, "reg.example/x", MIRRORS, True) == ["harbor.example/ai/redis:8"]


def test_a_known_digest_pins_the_pull_wherever_it_comes_from():
    pinned = {**REDIS, "digest": DIGEST}
    assert pulled("redis", pinned, "reg.example/x", MIRRORS, True) == [
        f"reg.example/x/redis@{DIGEST}",
        f"harbor.example/dockerhub/library/redis@{DIGEST}",
        f"docker.io/library/redis@{DIGEST}",
    ]
    assert pulled("redis", {**pinned, "mirror": "h.example/r:8"}) == [f"h.example/r@{DIGEST}"]


@pytest.mark.parametrize(
    ("prefix", "mirrors", "words"),
    [
        ("https://harbor.example/x", {}, "image_registry_prefix"),
        ("", {"docker.io": "https://harbor.example"}, "no scheme"),
        ("", {"docker.io": "harbor/x"}, "a host with a dot or a port"),
        ("", {"docker": "harbor.example/x"}, "the key 'docker'"),
        ("", {"docker.io/library": "harbor.example/x"}, "the key 'docker.io/library'"),
    ],
)
def test_a_mirror_that_no_reference_can_begin_with_is_refused(prefix, mirrors, words):
    with pytest.raises(Unusable, match=words):
        sources.check(prefix, mirrors)


def test_the_engine_names_docker_hub_by_nothing():
    place = sources.parse("docker.io/library/redis:8.0")
    assert sources.digest_at(place, [f"h.example/r@{OTHER}", f"redis@{DIGEST}"]) == DIGEST


MIRROR, PREFIX = "harbor.example/dockerhub/library/redis:8.0", "reg.example/x/redis:8.0"


def origin(way, digest="", asked=()):
    return {"id": "sha256:1", "way": way, "digest": digest, "asked": list(asked)}


@pytest.mark.parametrize(
    ("ways", "digest", "known", "is_met"),
    [
        ((MIRROR, "build"), "", origin("build"), True),
        ((MIRROR,), "", origin("build"), False),  # builds are no source any more
        (("bundle", "build"), "", origin(MIRROR), False),
        ((MIRROR,), "", origin("other.example/library/redis:8.0"), False),
        ((MIRROR,), "", origin("docker.io/library/redis:8.0"), True),  # its publisher's, as ever
        ((), "", origin(MIRROR), True),  # nothing to get another one from
        ((MIRROR,), DIGEST, origin(MIRROR, DIGEST), True),
        ((MIRROR,), DIGEST, origin(MIRROR, OTHER), False),
        (("bundle",), DIGEST, origin("bundle", OTHER), False),
        (("bundle",), DIGEST, origin("bundle", DIGEST), True),
        (("bundle",), DIGEST, origin("bundle"), False),  # nobody said that it is the pinned one
        (("build",), DIGEST, origin("build"), True),
    ],
)
def test_an_image_is_the_wanted_one_by_its_source_and_digest(ways, digest, known, is_met):
    wanted = Wanted(ways, digest, "docker.io/library/redis:8.0")
    assert wanted.is_met(known, []) is is_met


def test_an_image_of_unknown_origin_is_judged_by_the_digests_the_engine_knows():
    wanted = Wanted((MIRROR,), DIGEST)
    assert wanted.is_met(None, [])
    assert wanted.is_met(None, [f"redis@{DIGEST}"])
    assert not wanted.is_met(None, [f"redis@{OTHER}"])


def test_only_registries_that_were_added_before_its_source_are_asked_again():
    ways = ("bundle", PREFIX, MIRROR, "build")
    assert Wanted(ways).better(origin("build")) == [PREFIX, MIRROR]
    assert Wanted(ways).better(origin("build", asked=[PREFIX])) == [MIRROR]
    assert Wanted(ways).better(origin(MIRROR, asked=[PREFIX])) == []
    assert Wanted(ways).better(origin(PREFIX)) == []
    assert Wanted(ways).better(None) == []
    hub = "docker.io/library/redis:8.0"
    assert Wanted(("build", MIRROR), upstream=hub).better(origin(hub)) == [MIRROR]
    assert Wanted(ways).before("build") == [PREFIX, MIRROR]


@pytest.mark.parametrize(
    ("found", "machine", "words"),
    [
        ("arm64", "x86_64", "for arm64, this host is amd64"),
        ("amd64", "aarch64", "for amd64, this host is arm64"),
        ("amd64", "x86_64", ""),
        ("arm64", "aarch64", ""),
        (None, "x86_64", ""),
    ],
)
def test_an_image_of_another_architecture_is_named(found, machine, words):
    problem = sources.architecture_problem(found, machine)
    assert bool(problem) is bool(words)
    assert words in problem


def test_preflight_is_told_of_each_image_how_it_may_come():
    manifest = {"redis": {**REDIS, "digest": DIGEST}, "cuda": {"version": "1", "upstream": "o/o:1"}}
    told = sources.told(
        manifest, ["redis", "cuda"], ["bundle", "registry", "build"], "", MIRRORS, False
    )
    assert told["intranet-mcp/redis:8.0"]["ways"] == ["bundle", MIRROR, "build"]
    assert told["intranet-mcp/redis:8.0"]["places"] == [f"{MIRROR}@{DIGEST}"]
    assert told["intranet-mcp/cuda:1"]["ways"] == ["bundle", "harbor.example/dockerhub/o/o:1"]
    assert (
        sources.told(manifest, ["cuda"], ["build"], "", MIRRORS, False)["intranet-mcp/cuda:1"][
            "places"
        ]
        == []
    )


def test_nodes_of_a_cluster_pull_from_the_first_registry_or_have_the_local_name():
    manifest = {
        "own": {"version": "1", "upstream": None},
        "pinned": {"version": "8.0", "upstream": "docker.io/library/redis:8.0", "digest": DIGEST},
    }
    prefix = "harbor.example.internal/ai"
    assert sources.references(manifest, "", {}, False) == {
        "own": "intranet-mcp/own:1",
        "pinned": "intranet-mcp/pinned:8.0",
    }
    assert sources.references(manifest, prefix, {}, False) == {
        "own": f"{prefix}/own:1",
        "pinned": f"{prefix}/pinned:8.0@{DIGEST}",
    }
    mirrors = {"docker.io": "harbor.example.internal/hub"}
    mirrored = sources.references(manifest, "", mirrors, False)["pinned"]
    assert mirrored == f"harbor.example.internal/hub/library/redis:8.0@{DIGEST}"
    with pytest.raises(Unusable, match="image_registry_prefix"):
        sources.references(manifest, "https://x", {}, False)
