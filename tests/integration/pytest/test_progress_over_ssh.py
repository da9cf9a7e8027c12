# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tasks with live progress on a real host over SSH, with a password for sudo: they end, whatever
the connection adds to the output and whatever becomes of the host."""

from __future__ import annotations

import re
import threading
import time

import pytest
from servers.ssh_host import SshHost

SILENT = """
- hosts: all
  gather_facts: false
  roles: [intranet.mcp.platform]
  tasks:
    - name: Reach the host
      ansible.builtin.command: "true"
    - name: Take long
      ansible.builtin.command: sleep 600
"""
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Take long
      slow: {lines: %d}
"""
ACTION = """
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.progress import ProgressAction

class ActionModule(ProgressAction):
    pass
"""
MODULE = """#!/usr/bin/python
import time
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.progress import Progress

module = AnsibleModule({"lines": {"type": "int"}, "progress_file": {"type": "path"}})
report = Progress(module.params["progress_file"]).line
for number in range(module.params["lines"]):
    report(f"loaded redis-{number} größer")
    time.sleep(0.5)  # work that takes its time
time.sleep(2)  # as above
module.exit_json(changed=True)
"""
WITHIN_SECONDS = 60
# Connections stay, and new ones are taken, but nobody says a word on either.
SILENCE, SPEAK = (f"pkill --signal {signal} sshd" for signal in ("STOP", "CONT"))


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
    alarm = threading.Timer(WITHIN_SECONDS + 30, play.kill)
    alarm.start()
    rest = play.stdout.read()  # not communicate(), which forgets what was read ahead
    play.wait()
    alarm.cancel()
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


def test_host_that_falls_silent_in_any_task_is_unreachable_within_a_minute(host):
    (host.folder / "silent.yml").write_text(SILENT)
    # A connection that an earlier play left open (ControlPersist) does not ask.
    own = {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(host.folder / "cp")}
    play = host.start_play("silent.yml", **own)
    play.seen = []
    host.run("for i in $(seq 300); do pgrep --full 'sleep 60[0]' && exit; sleep 0.1; done; exit 1")
    host.run(SILENCE)
    try:
        output, seconds = ended(play)
    finally:
        host.run(SPEAK)
    assert seconds < WITHIN_SECONDS, output
    assert "UNREACHABLE" in output


@pytest.mark.parametrize("dies", [False, True], ids=["silent", "dead"])
def test_host_that_falls_silent_or_dies_is_unreachable_within_a_minute(host, start, dies):
    play = start(600)
    if dies:  # the last test: nothing brings sshd back
        host.docker.run("kill", host.name)
    else:
        host.run(SILENCE)
    try:
        output, seconds = ended(play)
    finally:
        if not dies:
            host.run(SPEAK)
    assert seconds < WITHIN_SECONDS, output
    assert "UNREACHABLE" in output
    assert "in the middle of the task; the last it said: loaded redis-" in output
    assert play.returncode == 4
