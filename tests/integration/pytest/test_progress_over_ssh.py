# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tasks with live progress on a real host over SSH, with a password for sudo: they end, whatever
the connection adds to the output and whatever becomes of the host."""

from __future__ import annotations

import re
import time

import pytest
from servers.ssh_host import SshHost

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Take long
      slow: {lines: %d}
"""
ACTION = """
from ansible_collections.intranet.mcp.plugins.plugin_utils._progress import ProgressAction

class ActionModule(ProgressAction):
    pass
"""
MODULE = """#!/usr/bin/python
import time
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils._progress import Progress

module = AnsibleModule({"lines": {"type": "int"}, "progress_file": {"type": "path"}})
report = Progress(module.params["progress_file"]).line
for number in range(module.params["lines"]):
    report(f"loaded redis-{number} größer")
    time.sleep(0.5)  # work that takes its time
time.sleep(2)  # as above
module.exit_json(changed=True)
"""
WITHIN_SECONDS = 60


@pytest.fixture(scope="module")
def host(docker, tmp_path_factory):
    """Return a host over SSH, with a module that takes long beside the playbook."""
    folder = tmp_path_factory.mktemp("engineer")
    found = SshHost(docker, folder)
    for name, text in (("action_plugins", ACTION), ("library", MODULE)):
        (folder / name).mkdir()
        (folder / name / "slow.py").write_text(text)
    return found


@pytest.fixture
def start(host):
    """Return a function that starts the long task and waits until it works."""
    started = []

    def begin(lines):
        (host.folder / "play.yml").write_text(PLAYBOOK % lines)
        play = host.start_play("play.yml")
        started.append(play)
        play.seen = []
        for line in play.stdout:
            play.seen.append(line)
            if "loaded redis-1 " in line:
                return play
        pytest.fail("".join(play.seen))

    yield begin
    for play in started:
        if play.poll() is None:
            play.kill()
        play.stdout.close()
        play.wait()


def ended(play):
    """Return what the play printed, and the seconds until its end."""
    began = time.monotonic()
    rest, _ = play.communicate(timeout=WITHIN_SECONDS + 30)
    return "".join(play.seen) + rest, time.monotonic() - began


def test_each_line_is_shown_once_and_the_task_ends(start):
    output, _seconds = ended(start(8))
    shown = re.findall(r"^  \[llm1\].*$", output, re.MULTILINE)
    assert shown == [f"  [llm1] loaded redis-{number} größer" for number in range(8)], output
    assert "changed=1" in output and "unreachable=0" in output


def test_process_that_dies_on_the_host_is_noticed(host, start):
    play = start(600)
    host.run("pkill --signal KILL --full 'async_wrappe[r]|AnsiballZ_slo[w]'")
    output, seconds = ended(play)
    assert seconds < WITHIN_SECONDS
    assert "without a result; the last it said: loaded redis-" in output
    assert play.returncode == 2


@pytest.mark.parametrize(("fall", "rise"), [("pause", "unpause"), ("kill", "start")])
def test_host_that_falls_silent_or_dies_is_unreachable_within_a_minute(host, start, fall, rise):
    play = start(600)
    host.docker.run(fall, host.name)
    try:
        output, seconds = ended(play)
    finally:
        host.docker.run(rise, host.name)
    assert seconds < WITHIN_SECONDS, output
    assert "UNREACHABLE" in output
    assert "in the middle of the task; the last it said: loaded redis-" in output
    assert play.returncode == 4
