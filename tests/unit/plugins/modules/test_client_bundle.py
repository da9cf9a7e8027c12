# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""client_bundle as Ansible runs it: exactly these files, an archive of them, nobody else's eyes."""

from __future__ import annotations

import json
import stat
import tarfile

import pytest

KEY = "sk-the-secret"
# Debian 12's 3.11.2 has no filters of archives.
UNPACKED = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


@pytest.fixture
def options(tmp_path):
    return {
        "path": str(tmp_path / "clients/alice"),
        "files": [
            {"path": "install.sh", "content": "#!/bin/sh\n", "mode": "0700"},
            {"path": "files/.x/key", "content": KEY + "\n", "secret": True},
        ],
    }


def modes(folder):
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
    }


def test_folder_and_archive_hold_the_same_private_files(run_module, options, tmp_path):
    result = run_module("client_bundle", **options)
    assert result["changed"]
    assert modes(tmp_path) == {
        "clients": 0o700,
        "clients/alice": 0o700,
        "clients/alice/files": 0o700,
        "clients/alice/files/.x": 0o700,
        "clients/alice/files/.x/key": 0o600,
        "clients/alice/install.sh": 0o700,
        "clients/alice.tar.gz": 0o600,
    }
    with tarfile.open(result["archive"]) as archive:
        archive.extractall(tmp_path / "out", **UNPACKED)
    assert (tmp_path / "out/intranet-mcp-alice/files/.x/key").read_text() == KEY + "\n"
    assert modes(tmp_path / "out")["intranet-mcp-alice/install.sh"] == 0o700


def test_a_second_run_changes_nothing(run_module, options):
    run_module("client_bundle", **options)
    assert not run_module("client_bundle", **options)["changed"]


def test_what_is_no_longer_wanted_or_was_loosened_is_put_right(run_module, options, tmp_path):
    run_module("client_bundle", **options)
    folder = tmp_path / "clients/alice"
    (folder / "stray").write_text("x")
    (folder / "install.sh").chmod(0o755)
    folder.chmod(0o755)
    changed = run_module("client_bundle", **options)["changed_paths"]
    assert changed == [str(folder / "install.sh"), str(folder / "stray"), str(folder)]
    assert modes(tmp_path)["clients/alice"] == 0o700
    assert not (folder / "stray").exists()


def test_check_mode_says_the_same_and_writes_nothing(run_module, options, tmp_path):
    predicted = run_module("client_bundle", check=True, **options)
    assert not (tmp_path / "clients").exists()
    done = run_module("client_bundle", **options)
    assert done["diff"] == predicted["diff"]
    assert done["changed"] and predicted["changed"]


def test_absent_removes_both(run_module, options, tmp_path):
    run_module("client_bundle", **options)
    assert run_module("client_bundle", path=options["path"], state="absent")["changed"]
    assert list((tmp_path / "clients").iterdir()) == []
    assert not run_module("client_bundle", path=options["path"], state="absent")["changed"]


def test_secrets_appear_in_no_output(run_module, options):
    assert KEY not in json.dumps(run_module("client_bundle", **options))


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x"])
def test_a_path_that_leaves_the_folder_is_refused(run_module, options, path):
    options["files"].append({"path": path, "content": "x"})
    result = run_module("client_bundle", **options)
    assert result["failed"]
    assert "leaves the folder" in result["msg"]
