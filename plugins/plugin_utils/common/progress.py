# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs a module in the background on its host and shows what it writes to a progress file.

The module takes an option `progress_file` and appends lines to it
(module_utils/common/progress.py).
Reading the file is one short shell command a second or two, through whatever connection and
privilege escalation the task has; only the beginning and the end cost a module call. What the
command prints lies between two marks, in base64: line breaks and prompts that a connection or a
become plugin adds are never taken for the file's. Every wait has a bound, since a connection to a
host that has fallen silent reports nothing by itself.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import secrets
import shlex
import signal
import time
from typing import NamedTuple

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

POLL_SECONDS = (0.3, 0.5, 1.0, 1.5, 2.0)
# How long one question to the host may take.
ANSWER_SECONDS = 20
# How long a host may give no answer, or show no process of the job, before the task fails. With one
# last question that stays unanswered this is less than a minute.
LOST_SECONDS = 35
# The process's id may have gone to another one since; the job itself is asked this often.
STATUS_SECONDS = 60
# What is read at a time.
CHUNK_BYTES = 65536

READ = """\
f={path}
echo {mark}
if [ ! -e "$f" ]; then echo absent
elif kill -0 "$(head -n 1 "$f")" 2>/dev/null; then echo running
else echo ended; fi
tail -c +{start} "$f" 2>/dev/null | head -c {size} | base64
echo {mark}"""


class NoAnswer(BaseException):
    """The host did not answer in time. Not an Exception: connection plugins retry upon those."""


class Answer(NamedTuple):
    """What the host says of the job: `absent`, `running` or `ended`, and more of its file."""

    state: str
    content: bytes


class ProgressAction(ActionBase):
    """Base of action plugins whose module takes long and says what it does."""

    _supports_check_mode = True
    _supports_async = True

    # Seconds after which the host ends the module, whatever it does.
    time_limit = 4 * 3600
    # Whether the host fell silent: nothing more is asked of it then, not even to clean up.
    _is_silent = False

    def run(self, tmp=None, task_vars=None):
        """Run the task's module, live unless the task says otherwise."""
        super().run(tmp, task_vars)
        arguments = self.module_arguments(self._task.args, task_vars)
        try:
            return self.execute(arguments, task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def module_arguments(self, arguments: dict, task_vars: dict) -> dict:
        """Return the module's options; a subclass may add what only the control node knows."""
        return dict(arguments)

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Run the module."""
        if self._task.async_val or self._task.check_mode or self._connection.has_native_async:
            in_background = bool(self._task.async_val and not self._connection.has_native_async)
            return self._execute_module(
                module_args=arguments, task_vars=task_vars, wrap_async=in_background
            )
        return self.execute_live(arguments, task_vars)

    def execute_live(self, arguments: dict, task_vars: dict) -> dict:
        """Run the module in the background, show its lines, return its result."""
        path = f"/tmp/ansible-progress-{secrets.token_hex(12)}"  # noqa: S108  unguessable
        arguments = {**arguments, "progress_file": path}
        job = self._start(arguments, task_vars)
        if job.get("failed") or "ansible_job_id" not in job:
            return job
        try:
            return self._follow(job["ansible_job_id"], path, task_vars)
        finally:
            self.discard(path)

    def discard(self, path: str) -> None:
        """Remove a file or a folder of this task from the host, if the host can still be asked."""
        if not self._is_silent:
            self._low_level_execute_command(f"rm -rf {shlex.quote(path)}", sudoable=True)

    def _remove_tmp_path(self, tmp_path, force=False):
        if not self._is_silent:
            super()._remove_tmp_path(tmp_path, force=force)

    def _start(self, arguments: dict, task_vars: dict) -> dict:
        self._task.async_val = self.time_limit
        try:
            return self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0

    def _follow(self, job_id: str, path: str, task_vars: dict) -> dict:
        """Show the job's lines until it has a result, is lost, or exceeds every bound."""
        lines = Lines(task_vars.get("inventory_hostname", ""))
        watch = Watch(time.monotonic() + self.time_limit + LOST_SECONDS)
        while True:
            time.sleep(watch.pause())
            answer = self._ask(self._read, path, lines.offset)
            if answer and lines.add(answer.content):
                watch.polls = 0
            if watch.needs_status(answer):
                status = self._ask(self._status, job_id, "status", task_vars)
                if status and status.get("finished"):
                    self._show_rest(lines, path)
                    self._ask(self._status, job_id, "cleanup", task_vars)
                    return result_of(status)
            problem = watch.problem(answer, lines.last)
            if problem:
                self._is_silent = isinstance(problem, AnsibleConnectionFailure)
                raise problem

    def _show_rest(self, lines: Lines, path: str) -> None:
        """Show what was written since the last question."""
        while (rest := self._ask(self._read, path, lines.offset)) and lines.add(rest.content):
            pass

    def _ask(self, question, *arguments):
        """Return the host's answer; None when it gave none in time."""
        try:
            with limited(0 if self._task.timeout else ANSWER_SECONDS):
                return question(*arguments)
        except AnsibleConnectionFailure:
            return None
        except NoAnswer:
            if self._connection.transport == "ssh":
                # Calls share one connection, which may be dead: the next one needs a new one.
                with contextlib.suppress(Exception, NoAnswer), limited(ANSWER_SECONDS):
                    self._connection.reset()
            return None

    def _read(self, path: str, offset: int) -> Answer | None:
        mark = secrets.token_hex(12)
        command = READ.format(path=shlex.quote(path), mark=mark, start=offset + 1, size=CHUNK_BYTES)
        said = self._low_level_execute_command(command, sudoable=True)
        return answer_in(said.get("stdout", ""), mark)

    def _status(self, job_id: str, mode: str, task_vars: dict) -> dict:
        directory = self.get_shell_option("async_dir", default="~/.ansible_async")
        status = self._execute_module(
            module_name="ansible.legacy.async_status",
            module_args={
                "jid": job_id,
                "mode": mode,
                "_async_dir": self._remote_expand_user(directory),
            },
            task_vars=task_vars,
        )
        if "finished" not in status and mode == "status":
            # Without this the loop would ask for ever.
            return {**status, "failed": True, "finished": True}
        return status


class Watch:
    """When to ask next, whether to ask for the job's result, and when to give up."""

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.polls = 0
        self.seen_at = self.asked_at = time.monotonic()

    def pause(self) -> float:
        """Return the seconds to wait: longer, the longer nothing was written."""
        seconds = POLL_SECONDS[min(self.polls, len(POLL_SECONDS) - 1)]
        self.polls += 1
        return seconds

    def needs_status(self, answer: Answer | None) -> bool:
        """Tell whether to ask for the result: nobody writes any more, or it is time to."""
        now = time.monotonic()
        if answer is None:
            return False
        if answer.state == "running":
            self.seen_at = now
            if now - self.asked_at < STATUS_SECONDS:
                return False
        self.asked_at = now
        return True

    def problem(self, answer: Answer | None, last: str) -> Exception | None:
        """Return why there is nothing to wait for; None when there is."""
        now = time.monotonic()
        silent = now - self.seen_at
        said = f"; the last it said: {last}" if last else ""
        if silent > LOST_SECONDS and answer is None:
            return AnsibleConnectionFailure(
                f"no answer from the host for {silent:.0f} s, in the middle of the task{said}. "
                f"Expected one within {LOST_SECONDS} s: see whether the host is up and can be "
                "reached, then run again"
            )
        if silent > LOST_SECONDS:
            return AnsibleActionFail(
                f"the task's process on the host has been gone for {silent:.0f} s without a "
                f"result{said}. Expected a result: see whether the host was restarted or ran out "
                "of memory (journalctl), then run again"
            )
        if now > self.ends_at:
            return AnsibleActionFail(
                f"the task did not end in its time{said}. Expected an end: see what its process on "
                "the host waits for, then run again"
            )
        return None


class Lines:
    """What was read of the progress file: shows each line once, when it is written to its end."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.offset = 0
        self.last = ""
        self._rest = b""
        self._is_head_read = False

    def add(self, content: bytes) -> bool:
        """Show the lines that are complete now; tell whether anything was written."""
        self.offset += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        if lines and not self._is_head_read:
            self._is_head_read = True
            del lines[0]  # the process's id
        for line in lines:
            self.last = line.decode(errors="replace")
            display.display(f"  [{self.host}] {self.last}", color=C.COLOR_VERBOSE)
        return bool(content)


@contextlib.contextmanager
def limited(seconds: int):
    """Raise NoAnswer in what takes longer. Not for tasks with `timeout`, which has the alarm."""
    if not seconds:
        yield
        return

    def give_up(_signal, _frame):
        raise NoAnswer

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def answer_in(text: str, mark: str) -> Answer | None:
    """Return what stands between the marks; None when the command was not run to its end."""
    found = re.search(rf"{mark}\s+(absent|running|ended)\s([\sA-Za-z0-9+/=]*?)\s*{mark}", text)
    if not found:
        return None
    try:
        return Answer(found[1], base64.b64decode("".join(found[2].split()), validate=True))
    except binascii.Error:
        return None


def result_of(status: dict) -> dict:
    """Return the module's own result out of what the async machinery says."""
    own = ("ansible_job_id", "finished", "started", "results_file", "erased")
    return {key: value for key, value in status.items() if key not in own}
