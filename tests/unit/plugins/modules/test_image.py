# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
import support

FAKE = Path(__file__).with_name("fake_docker.py")
MANIFEST = {
    "base": {"version": "13", "recipe": {"context": "x"}},
    "redis": {
        "version": "8.0",
        "upstream": "docker.io/library/redis:8.0",
        "recipe": {"context": "x", "needs": ["base"]},
    },
    "postgres": {"version": "17", "recipe": {"context": "x", "needs": ["base"]}},
    "bought": {"version": "1", "upstream": "registry.example/bought:1"},
}
RECIPES = {"base": "b1", "redis": "r1", "postgres": "p1"}


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Put the fake in front of PATH and return its state."""
    state, programs = tmp_path / "state", tmp_path / "bin"
    state.mkdir()
    programs.mkdir()
    command = shlex.join([sys.executable, str(FAKE), str(state)])
    (programs / "docker").write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return Docker(state)


class Docker:
    def __init__(self, state):
        self.state = state

    def write(self, name, value):
        (self.state / name).write_text(json.dumps(value))

    def images(self):
        path = self.state / "images.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    def has(self, reference, recipe=None, image_id="sha256:old"):
        labels = {"intranet.mcp.recipe": recipe} if recipe else {}
        self.write("images.json", {**self.images(), reference: {"id": image_id, "labels": labels}})

    def verbs(self):
        calls = self.state / "calls"
        lines = calls.read_text().splitlines() if calls.is_file() else []
        return [json.loads(line)[0] for line in lines]


@pytest.fixture
def image(docker, run_module, tmp_path):
    """Run the module with contexts at hand, as the action plugin does."""
    contexts = tmp_path / "contexts.tar.gz"
    with tarfile.open(contexts, "w:gz") as archive:
        for name in RECIPES:
            archive.addfile(tarfile.TarInfo(f"{name}/Dockerfile"), BytesIO())

    def run(*names, check=False, **options):
        given = {
            "names": list(names),
            "manifest": MANIFEST,
            "recipes": RECIPES,
            "contexts": str(contexts),
            "work_path": str(tmp_path / "work"),
            "record_path": str(tmp_path / "images.json"),
        }
        return run_module("image", check=check, **{**given, **options})

    run.work = tmp_path / "work"
    return run


def actions(result):
    return {name: done["action"] for name, done in result["images"].items()}


def test_present_images_cost_one_question(docker, image):
    docker.has("intranet-mcp/redis:8.0", "r1")
    result = image("redis")
    assert not result["changed"]
    assert actions(result) == {"redis": "present"}
    assert docker.verbs() == ["image"]


def test_missing_image_is_built_after_what_it_needs(docker, image):
    result = image("redis", sources=["build"])
    assert actions(result) == {"base": "built", "redis": "built"}
    assert result["images"]["redis"]["id"] == docker.images()["intranet-mcp/redis:8.0"]["id"]
    assert not image("redis", sources=["build"])["changed"]


def test_changed_recipe_is_built_again(docker, image):
    docker.has("intranet-mcp/base:13", "b1")
    docker.has("intranet-mcp/redis:8.0", "older")
    assert actions(image("redis", sources=["build"]))["redis"] == "built"
    assert docker.images()["intranet-mcp/redis:8.0"]["labels"]["intranet.mcp.recipe"] == "r1"


def test_forced_image_is_built_again(docker, image):
    docker.has("intranet-mcp/base:13", "b1")
    docker.has("intranet-mcp/redis:8.0", "r1")
    assert actions(image("redis", sources=["build"], force=["redis"])) == {"redis": "built"}


def test_check_mode_says_what_it_would_do_and_does_nothing(docker, image):
    result = image("redis", check=True, sources=["build"])
    assert result["changed"]
    assert actions(result) == {"redis": "built"}
    assert docker.verbs() == ["image"]
    assert not image.work.exists()


def test_own_registry_is_pulled_and_named(docker, image):
    docker.write("registry.json", ["reg.example/x/redis:8.0"])
    result = image("redis", sources=["registry"], registry_prefix="reg.example/x")
    assert actions(result) == {"redis": "pulled"}
    assert "intranet-mcp/redis:8.0" in docker.images()


DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
MIRRORS = {"docker.io": "harbor.example/hub"}
MIRRORED = "harbor.example/hub/library/redis"


def pinned(digest):
    return {**MANIFEST, "redis": {**MANIFEST["redis"], "digest": digest}}


def test_a_mirror_is_pulled_as_it_is(docker, image):
    docker.write("registry.json", [f"{MIRRORED}:8.0"])
    options = {"sources": ["registry"], "registry_mirrors": MIRRORS}
    assert actions(image("redis", **options)) == {"redis": "pulled"}
    assert list(docker.images()) == ["intranet-mcp/redis:8.0"], "another name keeps it for ever"
    assert not image("redis", **options)["changed"]


def test_what_was_there_under_the_registrys_name_stays(docker, image):
    docker.write("registry.json", [f"{MIRRORED}:8.0"])
    docker.has(f"{MIRRORED}:8.0")
    image("redis", sources=["registry"], registry_mirrors=MIRRORS)
    assert f"{MIRRORED}:8.0" in docker.images()


def test_another_digest_replaces_the_image_once(docker, image):
    held = {f"{MIRRORED}@{d}": {"id": d, "digest": d} for d in (DIGEST, OTHER)}
    docker.write("registry.json", held)
    options = {"sources": ["registry"], "registry_mirrors": MIRRORS}
    for digest in (DIGEST, OTHER):
        assert actions(image("redis", manifest=pinned(digest), **options)) == {"redis": "pulled"}
        assert docker.images()["intranet-mcp/redis:8.0"]["id"] == digest
        assert not image("redis", manifest=pinned(digest), **options)["changed"]


def test_another_source_replaces_the_image_once(docker, image):
    image("redis", sources=["build"])
    docker.write("registry.json", ["reg.example/x/redis:8.0", f"{MIRRORED}:8.0"])
    for options in ({"registry_prefix": "reg.example/x"}, {"registry_mirrors": MIRRORS}):
        options["sources"] = ["registry"]
        assert actions(image("redis", check=True, **options)) == {"redis": "pulled"}
        assert actions(image("redis", **options)) == {"redis": "pulled"}
        assert not image("redis", **options)["changed"]
    assert actions(image("redis", sources=["build"]))["redis"] == "built"


def test_a_registry_that_is_added_before_the_builds_is_asked_once(docker, image):
    image("redis", sources=["build"])
    first = image("redis", registry_mirrors=MIRRORS)
    assert not first["changed"]
    assert "not found" in first["images"]["redis"]["tried"]["registry"]
    pulls = docker.verbs().count("pull")
    assert not image("redis", registry_mirrors=MIRRORS)["changed"]
    assert docker.verbs().count("pull") == pulls
    docker.write("registry.json", ["reg.example/x/redis:8.0"])
    added = image("redis", registry_mirrors=MIRRORS, registry_prefix="reg.example/x")
    assert actions(added) == {"redis": "pulled"}


STALE = {
    "another recipe": {"id": "sha256:stale", "recipe": "older"},
    "its image is for s390x": {"id": "sha256:stale", "recipe": "r1", "architecture": "s390x"},
}


@pytest.mark.parametrize("reason", STALE)
def test_a_rejected_image_leaves_the_good_one_its_name(docker, image, reason):
    """As where a registry was added that holds the image of an older version of this collection."""
    image("redis", sources=["build"])
    good = docker.images()["intranet-mcp/redis:8.0"]
    docker.write("registry.json", {"reg.example/x/redis:8.0": STALE[reason]})
    options = {"sources": ["registry", "build"], "registry_prefix": "reg.example/x"}
    result = image("redis", **options)
    assert reason in result["images"]["redis"]["tried"]["registry"]
    assert docker.images()["intranet-mcp/redis:8.0"] == good
    assert "reg.example/x/redis:8.0" not in docker.images()
    assert not image("redis", **options)["changed"]


def test_a_stale_image_at_one_registry_is_passed_over_for_the_next(docker, image):
    right = {"id": "sha256:right", "recipe": "r1"}
    stale = STALE["another recipe"]
    docker.write("registry.json", {"reg.example/x/redis:8.0": stale, f"{MIRRORED}:8.0": right})
    options = {"registry_prefix": "reg.example/x", "registry_mirrors": MIRRORS}
    result = image("redis", sources=["registry", "build"], **options)
    assert actions(result) == {"redis": "pulled"}
    assert result["images"]["redis"]["id"] == "sha256:right"


def test_a_current_image_is_not_replaced_by_one_of_an_older_recipe(docker, image):
    """Where nothing is built, an older recipe will do for a host without any image, only there."""
    right, stale = {"id": "sha256:right", "recipe": "r1"}, STALE["another recipe"]
    docker.write("registry.json", {"reg.example/x/redis:8.0": stale, f"{MIRRORED}:8.0": right})
    mirror = {"sources": ["registry"], "registry_mirrors": MIRRORS}
    both = {**mirror, "registry_prefix": "reg.example/x"}
    assert actions(image("redis", **mirror)) == {"redis": "pulled"}
    assert not image("redis", **both)["changed"]
    assert docker.images()["intranet-mcp/redis:8.0"]["id"] == "sha256:right"
    docker.write("images.json", {})
    assert image("redis", **both)["images"]["redis"]["id"] == "sha256:stale"


def test_an_image_from_a_registry_that_was_added_is_pulled_once(docker, image):
    """What is there is read again: what it replaced says nothing of it."""
    places = ("reg.example/x/redis", MIRRORED)
    held = {f"{place}@{DIGEST}": {"id": place, "digest": DIGEST} for place in places}
    docker.write("registry.json", held)
    mirror = {"sources": ["registry"], "registry_mirrors": MIRRORS, "manifest": pinned(DIGEST)}
    image("redis", **mirror)
    images = docker.images()
    images["intranet-mcp/redis:8.0"]["digests"] = [f"redis@{OTHER}"]
    docker.write("images.json", images)
    pulls = docker.verbs().count("pull")
    image("redis", registry_prefix="reg.example/x", **mirror)
    assert docker.verbs().count("pull") == pulls + 1


def test_an_image_of_an_older_recipe_follows_its_tag_in_the_registry(docker, image, service):
    """As after an update of this collection, whose version of the image stayed the same."""
    prefix = f"{service.url.partition('://')[2]}/x"
    options = {"sources": ["registry"], "registry_prefix": prefix}

    def push(digest):
        docker.write("registry.json", {f"{prefix}/redis:8.0": {"id": digest, "digest": digest}})
        held = (200, b"", {"Docker-Content-Digest": digest})
        service.replies[("HEAD", "/v2/x/redis/manifests/8.0")] = held

    def label(recipe):
        images = docker.images()
        images["intranet-mcp/redis:8.0"]["labels"] = {"intranet.mcp.recipe": recipe}
        docker.write("images.json", images)

    push(DIGEST)
    image("redis", **options)
    label("r1")
    push(OTHER)
    assert not image("redis", **options)["changed"], "it is of this collection's recipe"
    assert not service.exchanges
    label("older")
    assert actions(image("redis", **options)) == {"redis": "pulled"}
    label("older")
    assert not image("redis", **options)["changed"], "the registry has nothing newer"


def test_a_source_that_lacks_the_image_leaves_what_runs_and_says_so(docker, image):
    image("redis", sources=["build"])
    result = image("redis", sources=["registry"], registry_mirrors=MIRRORS)
    assert result["failed"]
    assert f"{MIRRORED}:8.0: manifest for" in result["msg"]
    assert "intranet-mcp/redis:8.0" in docker.images()


def test_a_lost_record_takes_images_for_what_they_say(docker, image, tmp_path):
    image("redis", sources=["build"])
    (tmp_path / "images.json").write_text("{")
    assert not image("redis", sources=["registry"], registry_mirrors=MIRRORS)["changed"]


def test_a_pulled_image_of_another_architecture_is_refused_before_it_has_our_name(docker, image):
    docker.write("registry.json", {f"{MIRRORED}:8.0": {"architecture": "s390x"}})
    result = image("redis", sources=["registry"], registry_mirrors=MIRRORS)
    assert "its image is for s390x, this host is" in result["msg"]
    assert docker.images() == {}


def test_an_archive_for_another_architecture_is_not_loaded(docker, image, tmp_path):
    bundle = tmp_path / "bundle"
    docker.has("intranet-mcp/redis:8.0", "r1")
    image("redis", state="exported", bundle_path=str(bundle))
    index = json.loads((bundle / "index.json").read_text())
    index["images"]["intranet-mcp/redis:8.0"]["architecture"] = "s390x"
    (bundle / "index.json").write_text(json.dumps(index))
    docker.write("images.json", {})
    result = image("redis", sources=["bundle"], bundle_path=str(bundle))
    assert "its image is for s390x, this host is" in result["msg"]
    assert "load" not in docker.verbs()


def test_an_image_of_another_architecture_that_is_there_is_replaced(docker, image):
    docker.has("intranet-mcp/base:13", "b1")
    docker.has("intranet-mcp/redis:8.0", "r1")
    images = docker.images()
    images["intranet-mcp/redis:8.0"]["architecture"] = "s390x"
    docker.write("images.json", images)
    assert actions(image("redis", sources=["build"])) == {"redis": "built"}


def test_a_bundle_carries_the_digest_an_image_was_pulled_by(docker, image, tmp_path):
    bundle = str(tmp_path / "bundle")
    docker.write("registry.json", {f"{MIRRORED}@{DIGEST}": {"id": DIGEST, "digest": DIGEST}})
    registry = {"sources": ["registry"], "registry_mirrors": MIRRORS}
    image("redis", manifest=pinned(DIGEST), **registry)
    image("redis", manifest=pinned(DIGEST), state="exported", bundle_path=bundle)
    docker.write("images.json", {})
    other = {"sources": ["bundle"], "bundle_path": bundle}
    assert actions(image("redis", manifest=pinned(DIGEST), **other)) == {"redis": "loaded"}
    assert not image("redis", manifest=pinned(DIGEST), **other)["changed"]
    refused = image("redis", manifest=pinned(OTHER), **other)
    assert f"the bundle holds {DIGEST}; expected {OTHER}" in refused["msg"]


def test_a_bundle_without_a_digest_does_not_meet_a_pinned_one(docker, image, tmp_path):
    bundle = str(tmp_path / "bundle")
    docker.has("intranet-mcp/redis:8.0", "r1")
    image("redis", state="exported", bundle_path=bundle)
    docker.write("images.json", {})
    options = {"sources": ["bundle"], "bundle_path": bundle}
    refused = image("redis", manifest=pinned(DIGEST), **options)
    assert f"the bundle holds it without a digest; expected {DIGEST}" in refused["msg"]
    assert docker.images() == {}
    assert actions(image("redis", **options)) == {"redis": "loaded"}
    again = image("redis", manifest=pinned(DIGEST), **options)
    assert again["failed"], "pinned after it was loaded"


def rewrite(bundle, tags, labels):
    """Let the bundle's one archive name other images, and the index agree with its bytes."""
    index = json.loads((bundle / "index.json").read_text())
    (entry,) = index["images"].values()
    config = {"id": "sha256:other", "config": {"Labels": labels}}
    with tarfile.open(bundle / entry["archive"], "w") as archive:
        for name, value in (
            ("config.json", config),
            ("manifest.json", [{"Config": "config.json", "RepoTags": tags}]),
        ):
            content = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    content = (bundle / entry["archive"]).read_bytes()
    entry.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    (bundle / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "tags",
    [
        ["intranet-mcp/redis:8.0", "intranet-mcp/postgres:17"],
        ["intranet-mcp/postgres:17"],
        [],
    ],
)
def test_an_archive_that_names_anything_else_is_not_loaded(docker, image, tmp_path, tags):
    bundle = tmp_path / "bundle"
    docker.has("intranet-mcp/redis:8.0", "r1")
    docker.has("intranet-mcp/postgres:17", "p1")
    image("redis", state="exported", bundle_path=str(bundle))
    rewrite(bundle, tags, {})
    before = docker.images()
    options = {"sources": ["bundle"], "bundle_path": str(bundle), "force": ["redis"]}
    result = image("redis", **options)
    assert "expected intranet-mcp/redis:8.0 alone" in result["msg"]
    assert docker.images() == before


def test_an_archive_of_another_recipe_than_its_index_says_is_not_loaded(docker, image, tmp_path):
    bundle = tmp_path / "bundle"
    docker.has("intranet-mcp/redis:8.0", "r1")
    image("redis", state="exported", bundle_path=str(bundle))
    rewrite(bundle, ["intranet-mcp/redis:8.0"], {"intranet.mcp.recipe": "older"})
    before = docker.images()
    options = {"sources": ["bundle"], "bundle_path": str(bundle), "force": ["redis"]}
    assert "another recipe" in image("redis", **options)["msg"]
    assert docker.images() == before


def test_an_older_index_is_completed_without_writing_archives_again(docker, image, tmp_path):
    bundle = tmp_path / "bundle"
    docker.has("intranet-mcp/redis:8.0", "r1")
    image("redis", state="exported", bundle_path=str(bundle))
    index = json.loads((bundle / "index.json").read_text())
    del index["images"]["intranet-mcp/redis:8.0"]["architecture"]
    (bundle / "index.json").write_text(json.dumps(index))
    saves = docker.verbs().count("save")
    assert image("redis", state="exported", bundle_path=str(bundle))["changed"]
    assert "architecture" in (bundle / "index.json").read_text()
    assert docker.verbs().count("save") == saves


def test_a_mirror_with_a_scheme_is_refused_before_anything_runs(docker, image):
    result = image("redis", registry_mirrors={"docker.io": "https://harbor.example"})
    assert "no scheme" in result["msg"]
    assert docker.verbs() == []


def test_first_source_that_works_wins_and_the_others_say_why(docker, image, tmp_path):
    docker.has("intranet-mcp/base:13", "b1")
    result = image("redis", registry_upstream=True, bundle_path=str(tmp_path / "nowhere"))
    done = result["images"]["redis"]
    assert done["source"] == "build"
    assert "no bundle at" in done["tried"]["bundle"]
    assert "manifest for docker.io/library/redis:8.0 not found" in done["tried"]["registry"]


def test_image_that_needs_no_build_is_pulled_upstream(docker, image):
    docker.write("registry.json", ["registry.example/bought:1"])
    assert actions(image("bought")) == {"bought": "pulled"}


def test_failed_build_shows_its_end_and_keeps_the_others(docker, image):
    docker.write("broken.json", ["redis"])
    result = image("redis", "postgres", sources=["build"])
    assert result["failed"]
    assert "image redis (intranet-mcp/redis:8.0) is not to be had" in result["msg"]
    assert "E: the mirror has no redis" in result["msg"]
    assert "image_apt_mirror" in result["msg"]
    assert "intranet-mcp/postgres:17" in docker.images()
    docker.write("broken.json", [])
    assert actions(image("redis", "postgres", sources=["build"])) == {
        "redis": "built",
        "postgres": "present",
    }


def test_contexts_are_unpacked_by_a_python_without_filters_of_archives(image, monkeypatch):
    """As Debian 12's 3.11.2 is."""
    of_this_python = tarfile.TarFile.extractall
    if hasattr(tarfile, "data_filter"):
        monkeypatch.delattr(tarfile, "data_filter")
        unfiltered = lambda self, path: of_this_python(self, path, filter="tar")  # noqa: E731
        monkeypatch.setattr(tarfile.TarFile, "extractall", unfiltered)
    assert actions(image("redis", sources=["build"]))["redis"] == "built"


def test_build_on_a_failed_one_names_the_cause(docker, image):
    docker.write("broken.json", ["base"])
    result = image("redis", sources=["build"])
    assert result["failed"]
    assert "needs base, which failed" in result["msg"]


def test_daemon_that_is_down_is_said_in_one_line(docker, image):
    docker.write("down", True)
    result = image("redis")
    assert result["failed"]
    assert "the Docker daemon does not answer" in result["msg"]
    assert "intranet.mcp.docker" in result["msg"]


def test_unknown_image_is_refused_before_anything_runs(docker, image):
    result = image("reddis")
    assert result["failed"]
    assert "no image is called 'reddis'" in result["msg"]
    assert docker.verbs() == []


def test_bundle_comes_back_as_it_was(docker, image, tmp_path):
    bundle = tmp_path / "bundle"
    image("redis", sources=["build"])
    exported = image("redis", state="exported", bundle_path=str(bundle))
    assert actions(exported) == {"redis": "exported"}
    assert not image("redis", state="exported", bundle_path=str(bundle))["changed"]
    docker.write("images.json", {})
    loaded = image("redis", sources=["bundle"], bundle_path=str(bundle))
    assert actions(loaded) == {"redis": "loaded"}
    assert loaded["images"]["redis"]["id"] == exported["images"]["redis"]["id"]


def test_damaged_archive_is_named_and_the_next_source_used(docker, image, tmp_path):
    bundle = tmp_path / "bundle"
    image("redis", sources=["build"])
    image("redis", state="exported", bundle_path=str(bundle))
    next((bundle / "images").iterdir()).write_text("")
    docker.write("images.json", {})
    result = image("redis", bundle_path=str(bundle))
    assert actions(result)["redis"] == "built"
    assert "is 0 bytes long; expected" in result["images"]["redis"]["tried"]["bundle"]


def test_renewed_bundle_holds_no_old_archives(docker, image, tmp_path):
    bundle = tmp_path / "bundle"
    docker.has("intranet-mcp/redis:8.0", "r1", "sha256:one")
    image("redis", state="exported", bundle_path=str(bundle))
    docker.has("intranet-mcp/redis:8.0", "r1", "sha256:two")
    image("redis", state="exported", bundle_path=str(bundle))
    assert [path.name for path in (bundle / "images").iterdir()] == ["two.tar"]


def test_older_recipe_in_the_bundle_is_built_where_builds_are_possible(docker, image, tmp_path):
    bundle = tmp_path / "bundle"
    docker.has("intranet-mcp/redis:8.0", "older")
    image("redis", state="exported", bundle_path=str(bundle))
    docker.write("images.json", {})
    assert actions(image("redis", bundle_path=str(bundle)))["redis"] == "built"
    docker.write("images.json", {})
    only = image("redis", bundle_path=str(bundle), sources=["bundle"])
    assert actions(only) == {"redis": "loaded"}
    assert not image("redis", bundle_path=str(bundle), sources=["bundle"])["changed"]


def test_a_renewed_bundle_renews_images_where_nothing_is_built(docker, image, tmp_path):
    bundle = tmp_path / "bundle"
    image("redis", sources=["build"])
    image("redis", state="exported", bundle_path=str(bundle))
    docker.write("images.json", {})
    docker.has("intranet-mcp/redis:8.0", "older")  # of the same version
    renewed = image("redis", bundle_path=str(bundle), sources=["bundle"])
    assert actions(renewed) == {"redis": "loaded"}
    assert not image("redis", bundle_path=str(bundle), sources=["bundle"])["changed"]


def test_export_of_an_image_that_is_not_there_is_refused(docker, image, tmp_path):
    result = image("redis", state="exported", bundle_path=str(tmp_path / "bundle"))
    assert result["failed"]
    assert "images redis are not on this host" in result["msg"]


def test_absent_removes_what_is_there(docker, image):
    docker.has("intranet-mcp/redis:8.0", "r1")
    assert image("redis", "postgres", state="absent")["changed"]
    assert docker.images() == {}
    assert not image("redis", "postgres", state="absent")["changed"]


def test_steps_are_told_while_it_works(docker, image, tmp_path):
    progress = tmp_path / "progress"
    image("redis", sources=["build"], progress_file=str(progress))
    lines = progress.read_text().splitlines()
    assert any(line.startswith("build base: step 1/2 RUN true") for line in lines)
    assert any(line.startswith("build redis: done in") for line in lines)


def test_second_run_waits_and_then_says_for_whom(docker, image, tmp_path):
    import fcntl

    image.work.mkdir()
    with (image.work / "lock").open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        holder.write("4711\n")
        holder.flush()
        result = image("redis", sources=["build"], lock_timeout=0)
    assert result["failed"]
    assert "process 4711 has held" in result["msg"]


def test_image_that_another_run_made_meanwhile_is_present(docker, image, monkeypatch):
    from ansible_collections.intranet.mcp.plugins.modules import image as module

    @contextlib.contextmanager
    def wait(*_arguments):
        docker.has("intranet-mcp/redis:8.0", "r1")
        yield

    monkeypatch.setattr(module, "host_lock", wait)
    result = image("redis", sources=["build"])
    assert actions(result) == {"redis": "present"}
    assert not result["changed"]


def test_mirrors_reach_the_build_and_leave_the_recipe_alone(docker, image):
    image("redis", sources=["build"], mirrors={"PIP_INDEX_URL": "https://pip.example", "X": ""})
    build = next(
        json.loads(line)
        for line in (docker.state / "calls").read_text().splitlines()
        if '"build"' in line and "redis" in line
    )
    assert "PIP_INDEX_URL=https://pip.example" in build
    assert "BASE=intranet-mcp/base:13" in build
    assert not any(word.startswith("X=") for word in build)


@pytest.fixture
def registry():
    """Return a registry of the site on this machine, which says what it was given."""
    service = support.FakeService()
    service.prefix = f"{service.url.partition('//')[2]}/platform"
    yield service
    service.close()


def held(registry, name, digest):
    place = ("HEAD", f"/v2/platform/{name.replace(':', '/manifests/')}")
    registry.replies[place] = (200, b"", {"Docker-Content-Digest": digest})


def push(image, registry, *names, **options):
    return image(*names, state="pushed", registry_prefix=registry.prefix, **options)


def test_an_image_is_pushed_once_and_its_digest_told(docker, image, registry):
    docker.has("intranet-mcp/redis:8.0", "r1")
    result = push(image, registry, "redis")
    done = result["images"]["redis"]
    assert (done["action"], done["reference"]) == ("pushed", f"{registry.prefix}/redis:8.0")
    assert done["digest"].startswith("sha256:") and len(done["digest"]) == 71
    # The name at the registry is gone again: the platform's own one keeps the image.
    assert {*docker.images()} == {"intranet-mcp/redis:8.0"}
    held(registry, "redis:8.0", done["digest"])
    again = push(image, registry, "redis")
    assert not again["changed"] and again["images"]["redis"]["digest"] == done["digest"]


def test_what_changed_here_or_at_the_registry_is_pushed_again(docker, image, registry):
    docker.has("intranet-mcp/redis:8.0", "r1")
    digest = push(image, registry, "redis")["images"]["redis"]["digest"]
    held(registry, "redis:8.0", OTHER)
    assert push(image, registry, "redis")["changed"]
    held(registry, "redis:8.0", digest)
    docker.has("intranet-mcp/redis:8.0", "r1", image_id="sha256:new")
    assert push(image, registry, "redis")["images"]["redis"]["digest"] != digest


def test_check_mode_pushes_nothing(docker, image, registry):
    docker.has("intranet-mcp/redis:8.0", "r1")
    result = push(image, registry, "redis", "postgres", check=True)
    assert actions(result) == {
        "redis": "pushed",
        "postgres": "pushed",
    }  # that one is yet to be made
    assert "push" not in docker.verbs()


def test_an_exact_place_is_pushed_to_without_a_prefix(docker, image, registry):
    docker.has("intranet-mcp/redis:8.0", "r1")
    mirror = f"{registry.prefix}/own/redis:8"
    manifest = {**MANIFEST, "redis": {**MANIFEST["redis"], "mirror": mirror}}
    result = image("redis", state="pushed", manifest=manifest)
    assert result["images"]["redis"]["reference"] == mirror


def test_what_cannot_be_pushed_is_named(docker, image, registry):
    result = push(image, registry, "redis")
    assert result["failed"] and "images redis are not on this host" in result["msg"]
    docker.has("intranet-mcp/redis:8.0", "r1")
    result = image("redis", state="pushed")
    assert result["failed"] and "image_registry_prefix is empty" in result["msg"]
    docker.write("broken.json", [f"{registry.prefix}/redis:8.0"])
    result = push(image, registry, "redis")
    assert result["failed"] and "denied" in result["msg"]
    assert "correct docker_registry_logins or image_registry_prefix" in result["msg"]
    assert {*docker.images()} == {"intranet-mcp/redis:8.0"}
