# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The progress base against a real file and a real shell; only clock and job are made up."""

from __future__ import annotations

import os
import subprocess
import time
import types

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.intranet.mcp.plugins.module_utils.common.progress import Progress
from ansible_collections.intranet.mcp.plugins.plugin_utils.common import progress


def shell(command):
    """Run a command as a connection does, and return what it prints."""
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    return done.stdout


def plain(command):
    return {"stdout": shell(command)}


def sudo_on_a_terminal(command):
    """What a become password on a terminal brings: a line break of its prompt, CR before LF."""
    return {"stdout": "\r\n" + shell(command).replace("\n", "\r\n")}


def chatty_login(command):
    return {"stdout": "Last login: today\nrunning\nYWJj\n" + shell(command) + "bye\n"}


def test_result_is_the_modules_own():
    status = {"changed": True, "digest": "ab", "finished": True, "ansible_job_id": "j1"}
    assert progress.result_of(status) == {"changed": True, "digest": "ab"}


def test_output_that_breaks_off_is_no_answer():
    assert progress.answer_in("mark\nrunning\nYWJj\nmark\n", "mark").content == b"abc"
    assert progress.answer_in("mark\nrunning\nYWJj\n", "mark") is None
    assert progress.answer_in("mark\nrunning\nYWJ\nmark\n", "mark") is None
    assert progress.answer_in("", "mark") is None


class Job:
    """A module in the background: writes its file as the clock goes on, then has a result."""

    def __init__(self, writes, result, pid=None):
        self.writes = list(writes)
        self.result = result
        self.pid = pid or os.getpid()
        self.path = ""
        self.asked = []
        self.commands = []
        self.clock = 0.0
        self.connect = plain

    def start(self, path):
        self.path = path
        writer = Progress(path)
        assert writer.path == path
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(f"{self.pid}\n")

    def sleep(self, seconds):
        self.clock += seconds
        if self.writes and self.path:
            text = self.writes.pop(0)
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(text)
        elif self.path and self.result:
            self.pid = ended()
            with open(self.path, "r+", encoding="utf-8") as stream:
                content = stream.read().partition("\n")[2]
                stream.seek(0)
                stream.truncate()
                stream.write(f"{self.pid}\n{content}")

    def status(self, mode):
        self.asked.append(mode)
        if mode == "cleanup":
            return {}
        return self.result if self.result and not self.writes else {"finished": False}

    def command(self, command, **_options):
        self.commands.append(command)
        return self.connect(command)


def ended():
    """Return the id of a process that has ended, as wide as this one's so that offsets stay."""
    width = len(str(os.getpid()))
    while True:
        process = subprocess.Popen(["/bin/true"])
        process.wait()
        if len(str(process.pid)) == width:
            return process.pid


@pytest.fixture
def action(monkeypatch):
    """Build an action plugin on a job; `shown` collects what it displays."""
    shown = []
    monkeypatch.setattr(progress.display, "display", lambda text, **_options: shown.append(text))

    def make(job, **task):
        clock = types.SimpleNamespace(sleep=job.sleep, monotonic=lambda: job.clock)
        monkeypatch.setattr(progress, "time", clock)
        plugin = progress.ProgressAction.__new__(progress.ProgressAction)
        plugin.shown = shown
        defaults = {"async_val": 0, "check_mode": False, "timeout": 0, "args": {"name": "x"}}
        plugin._task = types.SimpleNamespace(**{**defaults, **task})
        plugin._connection = types.SimpleNamespace(has_native_async=False, transport="ssh")
        plugin._connection.resets = []
        plugin._connection.reset = lambda: plugin._connection.resets.append(1)
        plugin._status = lambda _job, mode, _variables: job.status(mode)
        plugin._low_level_execute_command = job.command
        plugin.calls = []

        def execute_module(module_args, task_vars, wrap_async=False, **_options):
            plugin.calls.append((module_args, wrap_async, plugin._task.async_val))
            if wrap_async and "progress_file" in module_args:
                job.start(module_args["progress_file"])
            return {"ansible_job_id": "j1"} if wrap_async else {"changed": False}

        plugin._execute_module = execute_module
        return plugin

    return make


WRITES = ["pull 1 %\n", "pull 5", "0 %\nGröße\n", "", "", "\n  indented\n", ""]
SHOWN = ["pull 1 %", "pull 50 %", "Größe", "", "  indented"]


@pytest.mark.parametrize("connect", [plain, sudo_on_a_terminal, chatty_login])
def test_exactly_the_files_lines_appear_whatever_the_connection_adds(action, connect):
    job = Job(WRITES, {"finished": True, "changed": 1})
    job.connect = connect
    plugin = action(job)
    result = plugin.execute({"name": "x"}, {"inventory_hostname": "gpu1"})
    assert result == {"changed": 1}
    assert plugin.shown == [f"  [gpu1] {line}" for line in SHOWN]
    assert job.asked[-1] == "cleanup"


def test_noise_of_a_become_plugin_does_not_keep_the_loop_from_ending(action):
    """With a password each read brings a line break; the loop took it for news, for ever."""
    job = Job([], {"finished": True, "changed": 1})
    job.connect = sudo_on_a_terminal
    plugin = action(job)
    assert plugin.execute({"name": "x"}, {}) == {"changed": 1}
    assert not plugin.shown
    assert job.clock < 60


def test_a_file_larger_than_one_answer_is_shown_whole(action):
    line = "x" * 999
    job = Job([f"{line}\n" * 200, ""], {"finished": True})
    plugin = action(job)
    plugin.execute({}, {"inventory_hostname": "h"})
    assert plugin.shown == [f"  [h] {line}"] * 200


def test_module_runs_in_the_background_and_the_task_does_not(action):
    plugin = action(Job([], {"finished": True}))
    plugin.execute({"name": "x"}, {})
    [(arguments, in_background, seconds)] = plugin.calls
    assert in_background
    assert seconds > 0
    assert arguments["progress_file"].startswith("/tmp/")
    assert plugin._task.async_val == 0


def test_progress_file_is_private_and_removed(action):
    modes = []
    job = Job([""], {"finished": True})
    job.sleep = lambda seconds, then=job.sleep: (
        modes.append(os.stat(job.path).st_mode & 0o777),
        then(seconds),
    )
    plugin = action(job)
    plugin.execute({"name": "x"}, {})
    assert set(modes) == {0o600}
    assert not os.path.exists(plugin.calls[0][0]["progress_file"])


@pytest.mark.parametrize(
    ("task", "in_background"), [({"check_mode": True}, False), ({"async_val": 60}, True)]
)
def test_check_mode_and_own_async_run_plainly(action, task, in_background):
    plugin = action(Job([], {}), **task)
    plugin.execute({"name": "x"}, {})
    [(arguments, wrapped, _seconds)] = plugin.calls
    assert "progress_file" not in arguments
    assert wrapped is in_background


def test_job_that_cannot_be_asked_ends_the_wait(action):
    """Without this a host that lost the job was asked for ever."""
    job = Job([], {"finished": True, "failed": True, "msg": "could not find job"})
    assert action(job).execute({}, {})["failed"]


def test_job_whose_process_is_gone_without_a_result_fails_within_a_minute(action):
    job = Job(["loaded redis\n"], None, pid=ended())
    with pytest.raises(AnsibleActionFail, match=r"gone for .*loaded redis.*run again"):
        action(job).execute({}, {})
    assert job.clock < 60


def test_job_that_never_began_fails_within_a_minute(action):
    job = Job([], None)
    job.start = lambda path: None
    with pytest.raises(AnsibleActionFail, match="without a result"):
        action(job).execute({}, {})
    assert job.clock < 60


def test_job_that_never_ends_has_a_bound(action):
    job = Job([], None)
    plugin = action(job)
    plugin.time_limit = 600
    with pytest.raises(AnsibleActionFail, match="did not end in its time"):
        plugin.execute({}, {})
    assert job.clock < 700


def unreachable(_command):
    raise AnsibleConnectionFailure("Failed to connect to the host via ssh")


def test_host_that_is_gone_makes_the_task_unreachable_within_a_minute(action):
    job = Job(["loaded redis\n"], None)
    job.connect = lambda command: plain(command) if job.clock < 5 else unreachable(command)
    plugin = action(job)
    with pytest.raises(AnsibleConnectionFailure, match=r"no answer .*loaded redis.*run again"):
        plugin.execute({}, {})
    assert job.clock < 60
    assert not [command for command in job.commands if command.startswith("rm")]


def test_host_that_answers_again_in_time_is_waited_for(action):
    job = Job(["one\n"] * 20, {"finished": True, "changed": 1})
    job.connect = lambda command: unreachable(command) if 5 < job.clock < 30 else plain(command)
    assert action(job).execute({}, {}) == {"changed": 1}


def test_question_that_hangs_is_given_up_and_the_next_uses_a_new_connection(action, monkeypatch):
    """A connection to a host that has fallen silent blocks for as long as the kernel likes."""
    monkeypatch.setattr(progress, "ANSWER_SECONDS", 1)
    job = Job([""] * 4, {"finished": True, "changed": 1})
    hangs = [True]
    job.connect = lambda command: time.sleep(30) if hangs and hangs.pop() else plain(command)
    plugin = action(job)
    began = time.monotonic()
    assert plugin.execute({}, {}) == {"changed": 1}
    assert time.monotonic() - began < 10
    assert plugin._connection.resets == [1]


def test_status_without_an_answer_counts_as_failed():
    plugin = progress.ProgressAction.__new__(progress.ProgressAction)
    plugin.get_shell_option = lambda _name, default: default
    plugin._remote_expand_user = lambda path: path
    plugin._execute_module = lambda **_options: {"failed": True, "msg": "missing argument"}
    status = plugin._status("j1", "status", {})
    assert status["finished"]
    assert status["msg"] == "missing argument"


def test_module_without_a_progress_file_writes_nothing(tmp_path):
    Progress(None).line("x")
    path = tmp_path / "there"
    path.write_text("")
    Progress(str(path)).line("x")  # somebody else's file is left alone
    assert path.read_text() == ""
