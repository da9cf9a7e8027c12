# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.intranet.mcp.plugins.modules import daemon_json


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the module on a file in tmp_path; dockerd is the program of that name there."""

    def run(**arguments):
        check = arguments.pop("check", False)
        values = {
            "path": str(tmp_path / "docker" / "daemon.json"),
            "dockerd": str(tmp_path / "dockerd"),
            "_ansible_check_mode": check,
            "_ansible_remote_tmp": str(tmp_path),
            **arguments,
        }
        with patch_module_args(values), pytest.raises(SystemExit):
            daemon_json.main()
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "docker" / "daemon.json"
    path.parent.mkdir()
    return path


def fake_dockerd(tmp_path, script):
    program = tmp_path / "dockerd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_new_file_is_made_with_its_directory_and_then_left_alone(run, tmp_path):
    first = run(defaults={"live-restore": True})
    path = tmp_path / "docker" / "daemon.json"
    assert first["changed"]
    assert json.loads(path.read_text()) == {"live-restore": True}
    assert path.stat().st_mode & 0o777 == 0o644
    assert not run(defaults={"live-restore": True})["changed"]


def test_another_layout_with_the_same_meaning_is_no_change(run, file):
    file.write_text('{"live-restore":true}')
    assert not run(settings={"live-restore": True})["changed"]
    assert file.read_text() == '{"live-restore":true}'


def test_the_old_file_is_kept_as_a_backup(run, file):
    file.write_text('{"bip": "10.9.0.1/24"}')
    result = run(settings={"debug": True})
    assert result["changed_keys"] == ["debug"]
    with open(result["backup_file"]) as backup:
        assert backup.read() == '{"bip": "10.9.0.1/24"}'


def test_check_mode_predicts_and_writes_nothing(run, file):
    file.write_text("{}")
    result = run(settings={"debug": True}, check=True)
    assert result["changed"]
    assert '"debug": true' in result["diff"]["after"]
    assert file.read_text() == "{}"


def test_a_broken_file_fails_and_stays_as_it_is(run, file):
    file.write_text("{")
    result = run(settings={"debug": True})
    assert "is not valid JSON" in result["msg"]
    assert file.read_text() == "{"


def test_what_dockerd_refuses_is_not_written(run, file, tmp_path):
    fake_dockerd(tmp_path, 'echo "unable to configure: unknown key bibp" >&2; exit 1')
    file.write_text("{}")
    result = run(settings={"bibp": "x"})
    assert "unknown key bibp" in result["msg"]
    assert file.read_text() == "{}"


# An engine before 23.0: no --validate, settings first, pid file second.
OLD = """
for flag; do [ "$flag" = --validate ] && {{ echo "unknown flag: --validate" >&2; exit 125; }}; done
echo '{answer}' >&2; exit 1
"""


@pytest.mark.parametrize(
    ("script", "validated"),
    [
        ("exit 0", True),
        (OLD.format(answer="pid file found, ensure docker is not running"), True),
        (OLD.format(answer="something else"), False),
    ],
)
def test_validation_is_reported_as_far_as_the_engine_can(run, tmp_path, script, validated):
    fake_dockerd(tmp_path, script)
    assert run(settings={"debug": True})["validated"] is validated


def test_an_engine_without_validate_refuses_too(run, file, tmp_path):
    fake_dockerd(tmp_path, OLD.format(answer="unable to configure the Docker daemon: bibp"))
    file.write_text("{}")
    assert "unable to configure" in run(settings={"bibp": 1})["msg"]
    assert file.read_text() == "{}"
