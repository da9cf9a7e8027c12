# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`show` through ansible-playbook with the default callback, as an engineer's screen has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[4]
LINES = ["passed   chat", '  found    a "quoted" word', "expected größer"]


def test_lines_stand_as_they_are(tmp_path):
    tasks = [
        {"intranet.mcp.show": {"text": LINES}},
        {
            "intranet.mcp.show": {"text": "{{ text }}"},
            "vars": {"text": 'one, two\n  {"a": 1, "b": 2}\n'},
        },
    ]
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    collections = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/collections")}
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "--check", "play.yml"],
        cwd=tmp_path,
        env={**kept, **collections, "ANSIBLE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "\n".join(["", *LINES, "ok: [localhost]", ""]) in done.stdout
    assert '\none, two\n  {"a": 1, "b": 2}\nok: [localhost]\n' in done.stdout
