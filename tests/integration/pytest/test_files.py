# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`files` through ansible-playbook, as a play runs it: packed, sent, its output displayed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import support
import yaml

pytestmark = pytest.mark.integration

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def play(tmp_path):
    """Run the module once and return what ansible-playbook printed, with its exit status."""

    def play(*flags: str, **options):
        playbook = tmp_path / "play.yml"
        task = {"name": "Write", "intranet.mcp.files": options}
        tasks = [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]
        playbook.write_text(yaml.safe_dump(tasks))
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", *flags, playbook],
            cwd=support.REPOSITORY,
            env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return play


def test_play_changes_then_changes_nothing(play, tmp_path):
    home = tmp_path / "home"
    options = {
        "directories": [{"path": str(home), "mode": "0750"}],
        "files": [{"path": str(home / "config"), "content": "a: 1\n", "mode": "0640"}],
        "secrets": [{"path": str(home / "key"), "content": SECRET}],
    }
    status, foreseen = play("--check", "--diff", **options)
    assert status == 0 and "changed=1" in foreseen and not home.exists()
    assert "+a: 1" in foreseen

    status, output = play("--diff", "-vvv", **options)
    assert status == 0 and "changed=1" in output
    assert (home / "config").read_text() == "a: 1\n"
    assert (home / "key").read_text() == SECRET
    printed = output.split("PLAY [", 1)[1]
    assert SECRET not in printed, "a secret was displayed"

    status, again = play(**options)
    assert status == 0 and "changed=0" in again

    options["secrets"][0]["content"] = SECRET + "-2"
    status, rotated = play("--diff", "-vvv", **options)
    assert status == 0 and "changed=1" in rotated
    assert SECRET not in rotated.split("PLAY [", 1)[1]


def test_failure_is_one_clear_sentence(play, tmp_path):
    wrong = [{"path": str(tmp_path / "missing" / "f"), "content": "x"}]
    status, output = play(files=wrong)
    assert status == 2
    assert "is no directory" in output and "Traceback" not in output
