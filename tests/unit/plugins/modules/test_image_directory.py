# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import shutil

import pytest

# Stands for the engine's command line. It copies what the test put into `content`.
DOCKER = """#!/bin/sh
case "$1" in
image) cat {folder}/id 2>/dev/null || exit 1 ;;
create) echo c0ffee ;;
cp) if [ -L {folder}/content ] || [ -f {folder}/content ]; then
    cp -P {folder}/content "$3"; exit
  fi
  mkdir "$3" && cp -r {folder}/content/. "$3" && [ ! -e {folder}/breaks ] || exit 1 ;;
rm) echo "$4" >> {folder}/removed ;;
esac
"""


@pytest.fixture
def engine(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "ld.so").write_text("loader")
    (tmp_path / "id").write_text("sha256:" + "a" * 64)
    return tmp_path


@pytest.fixture
def run(run_module, engine):
    def run(check=False, **options):
        place = str(engine / "bridge")
        return run_module(
            "image_directory", check=check, image="x:1", source="/bridge", path=place, **options
        )

    return run


def test_a_directory_is_unpacked_once_and_its_container_removed(run, engine):
    first = run()
    assert first["changed"] and first["directory"] == f"{engine}/bridge/{'a' * 12}"
    assert (engine / "bridge" / ("a" * 12) / "ld.so").read_text() == "loader"
    assert (engine / "removed").read_text() == "c0ffee\n"
    again = run()
    assert not again["changed"] and again["directory"] == first["directory"]


def test_another_image_has_a_directory_of_its_own_and_the_old_one_goes_when_it_may(run, engine):
    old = run()["directory"]
    (engine / "id").write_text("sha256:" + "b" * 64)
    assert run()["removed"] == [] and (engine / "bridge" / ("a" * 12)).is_dir()
    late = run(exclusive=True)
    assert late["changed"] and late["removed"] == [old]
    assert [path.name for path in (engine / "bridge").iterdir()] == ["b" * 12]
    assert not run(exclusive=True)["changed"]


def test_what_is_broken_off_is_not_taken_for_the_directory(run, engine):
    (engine / "breaks").touch()
    broken = run()
    assert broken["failed"] and "check the engine and the free space" in broken["msg"]
    assert (engine / "removed").read_text() == "c0ffee\n"
    (engine / "breaks").unlink()
    assert run()["changed"]
    assert [path.name for path in (engine / "bridge").iterdir()] == ["a" * 12]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_directory_in_the_image_is_refused_and_never_mounted(run, engine, kind):
    """A link of the image would lead elsewhere on the host."""
    shutil.rmtree(engine / "content")
    if kind == "link":
        (engine / "elsewhere").mkdir()
        (engine / "elsewhere" / "kept").touch()
        (engine / "content").symlink_to(engine / "elsewhere")
    else:
        (engine / "content").write_text("x")
    for _again in range(2):
        refused = run()
        assert refused["failed"] and f"/bridge of x:1 is a {kind}, expected" in refused["msg"]
        assert list((engine / "bridge").iterdir()) == []
    assert kind == "file" or (engine / "elsewhere" / "kept").exists()


def test_a_link_in_the_directorys_place_is_replaced_and_what_it_leads_to_stays(run, engine):
    """Earlier versions kept a link that an image had there."""
    elsewhere = engine / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (engine / "bridge").mkdir()
    for name in ("a" * 12, ".partial-" + "a" * 12, "b" * 12):
        (engine / "bridge" / name).symlink_to(elsewhere)
    found = run(exclusive=True)
    assert found["changed"] and not found["failed"], found
    (place,) = (engine / "bridge").iterdir()
    assert place.is_dir() and not place.is_symlink() and (place / "ld.so").exists()
    assert [path.name for path in elsewhere.iterdir()] == ["kept"]


def test_what_did_not_reach_the_disk_is_not_taken_for_the_directory(run, engine):
    """After a power cut its files would be empty, and its name would say that it is complete."""
    sync = engine / "bin" / "sync"
    sync.write_text("#!/bin/sh\necho no space >&2; exit 1\n")
    sync.chmod(0o755)
    failed = run()
    assert failed["failed"] and "sync --file-system says: no space, expected" in failed["msg"]
    sync.unlink()
    assert run()["changed"]


def test_an_image_that_is_not_there_is_named(run, engine):
    (engine / "id").unlink()
    missing = run()
    assert missing["failed"] and missing["msg"].startswith("x:1 is not on this host; expected")
    assert run(check=True)["changed"]


def test_check_mode_tells_the_same_and_writes_nothing(run, engine):
    foreseen = run(check=True)
    assert foreseen["changed"] and not (engine / "bridge").exists()
    assert run()["directory"] == foreseen["directory"]
