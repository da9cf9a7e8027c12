# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import os
import stat

import pytest

SECRET = "correct-horse-battery"


@pytest.fixture
def run(run_module):
    def run(check=False, **options):
        return run_module("files", check=check, **options)

    return run


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_writes_everything_once(run, tmp_path):
    folder, file, secret = tmp_path / "a", tmp_path / "a" / "f", tmp_path / "a" / "s"
    options = {
        "directories": [{"path": str(folder), "mode": "0750"}],
        "files": [{"path": str(file), "content": "text\n"}],
        "secrets": [{"path": str(secret), "content": SECRET}],
    }
    first = run(**options)
    assert first["changed"] and first["changed_paths"] == [str(folder), str(file), str(secret)]
    assert (mode(folder), mode(file), mode(secret)) == (0o750, 0o644, 0o600)
    assert file.read_text() == "text\n" and secret.read_text() == SECRET
    second = run(**options)
    assert not second["changed"] and second["changed_paths"] == [] and second["diff"] == []
    assert sorted(os.listdir(folder)) == ["f", "s"]


def test_check_mode_tells_the_same_and_writes_nothing(run, tmp_path):
    folder, file = tmp_path / "a", tmp_path / "a" / "f"
    options = {
        "directories": [{"path": str(folder)}],
        "files": [{"path": str(file), "content": "x"}],
    }
    assert run(check=True, **options)["changed_paths"] == [str(folder), str(file)]
    assert list(tmp_path.iterdir()) == []


def test_directories_are_made_with_their_parents_in_any_order(run, tmp_path):
    paths = [str(tmp_path / "a" / "b" / "c"), str(tmp_path / "a")]
    run(directories=[{"path": path, "mode": "0700"} for path in paths])
    assert mode(tmp_path / "a") == 0o700
    assert mode(tmp_path / "a" / "b") == 0o755
    assert not run(directories=[{"path": path, "mode": "0700"} for path in paths])["changed"]


def test_directory_that_another_host_makes_meanwhile_is_taken(run, tmp_path, monkeypatch):
    folder, make = tmp_path / "a", os.mkdir

    def late(path, *arguments, **options):
        make(path, *arguments, **options)
        if path == str(folder):
            raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "mkdir", late)
    assert run(directories=[{"path": str(folder), "mode": "0750"}])["changed"]
    assert mode(folder) == 0o750


def test_change_is_shown_file_by_file(run, tmp_path):
    file = tmp_path / "f"
    file.write_text("old\n")
    file.chmod(0o600)
    result = run(files=[{"path": str(file), "content": "new\n", "mode": "0640"}])
    (diff,) = result["diff"]
    assert diff["before_header"] == str(file)
    assert diff["before"].endswith("old\n") and "0600" in diff["before"]
    assert diff["after"].endswith("new\n") and "0640" in diff["after"]
    assert file.read_text() == "new\n" and mode(file) == 0o640


def test_mode_alone_is_changed_in_place(run, tmp_path):
    file = tmp_path / "f"
    file.write_text("x")
    inode = file.stat().st_ino
    assert run(files=[{"path": str(file), "content": "x", "mode": "0600"}])["changed"]
    assert mode(file) == 0o600 and file.stat().st_ino == inode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_ownership_by_number_is_set_and_kept(run, tmp_path):
    file = tmp_path / "f"
    entry = {"path": str(file), "content": "x", "owner": "12345", "group": "23456"}
    assert run(files=[entry])["changed"]
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 23456)
    assert not run(files=[entry])["changed"]
    run(files=[{"path": str(file), "content": "y"}])
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 23456)


def test_replaced_file_is_never_seen_half_written(run, tmp_path):
    file = tmp_path / "f"
    file.write_text("old")
    with file.open() as reader:
        run(files=[{"path": str(file), "content": "new"}])
        assert reader.read() == "old"
    assert file.read_text() == "new"


def test_secrets_show_up_nowhere(run, tmp_path, monkeypatch):
    from ansible.module_utils.basic import AnsibleModule

    logged = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _self, *args, **_kw: logged.append(args))
    file = tmp_path / "s"
    file.write_text("an-older-secret")
    result = run(secrets=[{"path": str(file), "content": SECRET}])
    output = json.dumps(result) + repr(logged)
    assert SECRET not in output and "an-older-secret" not in output
    assert "changed" in result["diff"][0]["after"]
    broken = run(secrets=[{"path": "relative", "content": SECRET}])
    assert broken["failed"] and SECRET not in json.dumps(broken)


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"path": "relative/f"}, "relative"),
        ({"mode": 416}, "416"),
        ({"mode": "u=rw"}, "u=rw"),
        ({"owner": "no-such-user"}, "no-such-user"),
        ({"group": "no-such-group"}, "no-such-group"),
        ({"path": "/nonexistent/f"}, "/nonexistent is no directory"),
    ],
)
def test_one_wrong_entry_and_nothing_is_written(run, tmp_path, entry, found):
    good = {"path": str(tmp_path / "good"), "content": "x"}
    bad = {"path": str(tmp_path / "bad"), "content": "x", **entry}
    result = run(files=[good, bad])
    assert result["failed"] and found in result["msg"]
    assert list(tmp_path.iterdir()) == []


def test_path_listed_twice_is_refused(run, tmp_path):
    file = str(tmp_path / "f")
    result = run(files=[{"path": file, "content": "x"}], absent=[file])
    assert result["failed"] and "more than once" in result["msg"]


def test_wrong_kind_is_refused_and_kept(run, tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    link = tmp_path / "link"
    link.symlink_to(folder)
    for path in (folder, link):
        result = run(files=[{"path": str(path), "content": "x"}])
        assert result["failed"] and result["error"]["reason"] == "refused"
    assert folder.is_dir() and link.is_symlink()


def test_absent_removes_files_and_their_emptied_directory(run, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "f").write_text("x")
    doomed = [str(folder / "f"), str(folder), str(tmp_path / "never-was")]
    assert run(check=True, absent=doomed)["changed"] and folder.exists()
    result = run(absent=doomed)
    assert result["removed_paths"] == doomed[:2] and not folder.exists()
    assert not run(absent=doomed)["changed"]


def test_directory_with_other_content_is_not_removed(run, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "precious").write_text("x")
    result = run(absent=[str(tmp_path / "d")])
    assert result["failed"] and "precious" in result["msg"]


def test_exclusive_directory_loses_what_is_not_listed(run, tmp_path):
    folder = tmp_path / "secrets"
    (folder / "env").mkdir(parents=True)
    for name in ("kept", "stale", "env/stale"):
        (folder / name).write_text("x")
    options = {
        "directories": [{"path": str(folder), "exclusive": True}],
        "secrets": [{"path": str(folder / "kept"), "content": "x"}],
    }
    gone = [str(folder / name) for name in ("env/stale", "env", "stale")]
    assert run(check=True, **options)["removed_paths"] == gone
    assert (folder / "stale").exists()
    assert run(**options)["removed_paths"] == gone
    assert [path.name for path in folder.iterdir()] == ["kept"]
    assert not run(**options)["changed"]


def test_content_that_is_not_text_is_replaced_without_showing_it(run, tmp_path):
    file = tmp_path / "f"
    file.write_bytes(b"\xff\xfe\x00")
    result = run(files=[{"path": str(file), "content": "text"}])
    assert "(not text)" in result["diff"][0]["before"]
