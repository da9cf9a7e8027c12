# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The progress base against a host that is a list of answers: no sleeping, no real module."""

from __future__ import annotations

import types

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils import _progress


def test_only_lines_that_are_written_to_their_end_are_shown():
    assert _progress.complete_lines("one\ntwo\nthr", 10) == (["one", "two"], 18)
    assert _progress.complete_lines("thr", 18) == ([], 18)


def test_offset_counts_bytes_not_characters():
    assert _progress.complete_lines("Größe\n", 0) == (["Größe"], 8)


def test_result_is_the_modules_own():
    status = {"changed": True, "digest": "ab", "finished": True, "ansible_job_id": "j1"}
    assert _progress.result_of(status) == {"changed": True, "digest": "ab"}


class Host:
    """What the control node sees of a host: a progress file and the state of a job."""

    def __init__(self, writes, result):
        self.writes = list(writes)
        self.result = result
        self.text = ""
        self.asked = []
        self.commands = []

    def read(self, offset):
        if self.writes:
            self.text += self.writes.pop(0)
        return self.text.encode()[offset:].decode()

    def status(self, mode):
        self.asked.append(mode)
        if mode == "cleanup":
            return {}
        return self.result if not self.writes else {"finished": False, "started": True}


@pytest.fixture
def action(monkeypatch):
    """Build an action plugin on a host; `shown` collects what it displays."""
    shown = []
    monkeypatch.setattr(_progress.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(_progress.display, "display", lambda text, **_options: shown.append(text))

    def make(host, **task):
        plugin = _progress.ProgressAction.__new__(_progress.ProgressAction)
        plugin.shown = shown
        defaults = {"async_val": 0, "check_mode": False, "args": {"name": "x"}}
        plugin._task = types.SimpleNamespace(**{**defaults, **task})
        plugin._connection = types.SimpleNamespace(has_native_async=False)
        plugin._read = lambda path, offset: host.read(offset)
        plugin._status = lambda job, mode, variables: host.status(mode)
        plugin._low_level_execute_command = lambda command, **_: host.commands.append(command) or {}
        plugin.calls = []

        def execute_module(module_args, task_vars, wrap_async=False, **_options):
            plugin.calls.append((module_args, wrap_async, plugin._task.async_val))
            return {"ansible_job_id": "j1"} if wrap_async else {"changed": False}

        plugin._execute_module = execute_module
        return plugin

    return make


def test_lines_appear_while_the_module_runs(action):
    host = Host(["pull 1 %\n", "pull 5", "0 %\npull 100 %\n", ""], {"finished": True, "changed": 1})
    plugin = action(host)
    result = plugin.execute({"name": "x"}, {"inventory_hostname": "gpu1"})
    assert result == {"changed": 1}
    assert plugin.shown == ["  [gpu1] pull 1 %", "  [gpu1] pull 50 %", "  [gpu1] pull 100 %"]
    assert host.asked[-1] == "cleanup"


def test_module_runs_in_the_background_and_the_task_does_not(action):
    plugin = action(Host([], {"finished": True}))
    plugin.execute({"name": "x"}, {})
    [(arguments, in_background, seconds)] = plugin.calls
    assert in_background
    assert seconds > 0
    assert arguments["progress_file"].startswith("/tmp/")
    assert plugin._task.async_val == 0


def test_progress_file_is_removed(action):
    host = Host([], {"finished": True})
    plugin = action(host)
    plugin.execute({"name": "x"}, {})
    assert host.commands[-1] == f"rm -f {plugin.calls[0][0]['progress_file']}"


@pytest.mark.parametrize(
    ("task", "in_background"), [({"check_mode": True}, False), ({"async_val": 60}, True)]
)
def test_check_mode_and_own_async_run_plainly(action, task, in_background):
    plugin = action(Host([], {}), **task)
    plugin.execute({"name": "x"}, {})
    [(arguments, wrapped, _seconds)] = plugin.calls
    assert "progress_file" not in arguments
    assert wrapped is in_background


def test_job_that_cannot_be_asked_ends_the_wait(action):
    """Without this a host that forgot the job was asked for ever."""
    host = Host([], {"finished": True, "failed": True, "msg": "could not find job"})
    assert action(host).execute({}, {})["failed"]


def test_status_without_an_answer_counts_as_failed():
    plugin = _progress.ProgressAction.__new__(_progress.ProgressAction)
    plugin.get_shell_option = lambda _name, default: default
    plugin._remote_expand_user = lambda path: path
    plugin._execute_module = lambda **_options: {"failed": True, "msg": "missing argument"}
    status = plugin._status("j1", "status", {})
    assert status["finished"]
    assert status["msg"] == "missing argument"
