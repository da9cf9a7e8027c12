# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""client_settings as Ansible runs it: check mode, diff, secrets, errors."""

from __future__ import annotations

import json
import os
import pwd
import tempfile

import pytest

KEY = "sk-the-secret"


@pytest.fixture
def options(tmp_path):
    return {
        "base": str(tmp_path),
        "record_dir": "record",
        "entries": [
            {"path": "a.json", "format": "json", "settings": {"a": {"b": 1}}},
            {"path": ".env", "format": "env", "settings": {"KEY": KEY}, "secret": True},
        ],
    }


def test_settings_come_and_go(run_module, options, tmp_path):
    (tmp_path / "a.json").write_text('{"x": 1}\n')
    first = run_module("client_settings", **options)
    assert first["changed"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1, "a": {"b": 1}}
    assert not run_module("client_settings", **options)["changed"]
    gone = run_module("client_settings", **{**options, "state": "absent"})
    assert sorted(gone["changed_paths"]) == [str(tmp_path / ".env"), str(tmp_path / "a.json")]
    assert (tmp_path / "a.json").read_text() == '{"x": 1}\n'
    assert os.listdir(tmp_path) == ["a.json"]
    assert not run_module("client_settings", **{**options, "state": "absent"})["changed"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_says_the_same_and_writes_nothing(run_module, options, tmp_path, state):
    if state == "absent":
        run_module("client_settings", **options)
    before = sorted(tmp_path.rglob("*"))
    predicted = run_module("client_settings", check=True, **{**options, "state": state})
    assert sorted(tmp_path.rglob("*")) == before
    done = run_module("client_settings", **{**options, "state": state})
    assert predicted["changed_paths"] == done["changed_paths"]
    assert predicted["diff"] == done["diff"]


def test_secrets_appear_in_no_output(run_module, options):
    for state in ("present", "absent"):
        result = run_module("client_settings", **{**options, "state": state})
        assert result["changed"]
        assert KEY not in json.dumps(result)


def test_a_changed_file_is_told_in_notes(run_module, options, tmp_path):
    run_module("client_settings", **options)
    path = tmp_path / "a.json"
    path.write_text(path.read_text().replace("{", '{"y": 1,', 1))
    result = run_module("client_settings", **{**options, "state": "absent"})
    assert "kept" in result["notes"][str(path)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user": "no-such-user"}, "there is no account 'no-such-user'"),
        ({"base": "/proc/nowhere"}, "writing failed"),
    ],
)
def test_wrong_input_is_one_clear_error(run_module, options, changes, message):
    result = run_module("client_settings", **{**options, **changes})
    assert result["failed"]
    assert message in result["msg"]


def test_a_broken_file_is_one_clear_error_and_nothing_is_written(run_module, options, tmp_path):
    (tmp_path / "a.json").write_text("{")
    result = run_module("client_settings", **options)
    assert result["failed"]
    assert result["error"]["reason"] == "refused"
    assert "expected valid JSON" in result["msg"]
    assert os.listdir(tmp_path) == ["a.json"]


def test_ones_own_user_needs_no_root(run_module, options):
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert run_module("client_settings", **{**options, "user": me})["changed"]


@pytest.fixture
def nobodys_home():
    """A home of `nobody`, outside pytest's directories, which only we may enter."""
    account = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        os.chown(home, account.pw_uid, account.pw_gid)
        yield home


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as somebody else")
def test_files_of_a_person_are_written_as_that_person(run_module, options, nobodys_home):
    options.update(base=nobodys_home, user="nobody")
    assert run_module("client_settings", **options)["changed"]
    uid = pwd.getpwnam("nobody").pw_uid
    for folder, folders, names in os.walk(nobodys_home):
        for name in folders + names:
            assert os.stat(os.path.join(folder, name)).st_uid == uid
    assert os.geteuid() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as somebody else")
def test_a_link_leads_nowhere_the_person_could_not_go(run_module, options, nobodys_home, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "root.json").write_text("{}")
    os.symlink(tmp_path / "root.json", os.path.join(nobodys_home, "a.json"))
    result = run_module("client_settings", **{**options, "base": nobodys_home, "user": "nobody"})
    assert result["failed"]
    assert (tmp_path / "root.json").read_text() == "{}"
    assert os.geteuid() == 0
