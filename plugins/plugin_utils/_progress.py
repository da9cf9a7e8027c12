# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs a module in the background on its host and shows what it writes to a progress file.

The module takes an option `progress_file` and appends lines to it (module_utils/_progress.py).
Reading the file is one short shell command a second or two, through whatever connection and
privilege escalation the task has; only the beginning and the end cost a module call.
"""

from __future__ import annotations

import secrets
import shlex
import time

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

POLL_SECONDS = (0.3, 0.5, 1.0, 1.5, 2.0)
# A job that died leaves no last line; its state is asked for after this long without one.
SILENCE_SECONDS = 30


class ProgressAction(ActionBase):
    """Base of action plugins whose module takes long and says what it does."""

    _supports_check_mode = True
    _supports_async = True

    # Seconds after which the host ends the module, whatever it does.
    time_limit = 4 * 3600

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
            self._low_level_execute_command(f"rm -f {shlex.quote(path)}", sudoable=True)

    def _start(self, arguments: dict, task_vars: dict) -> dict:
        self._task.async_val = self.time_limit
        try:
            return self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0

    def _follow(self, job_id: str, path: str, task_vars: dict) -> dict:
        host = task_vars.get("inventory_hostname", "")
        offset = 0
        polls = 0
        last_asked = time.monotonic()
        while True:
            time.sleep(POLL_SECONDS[min(polls, len(POLL_SECONDS) - 1)])
            polls += 1
            text = self._read(path, offset)
            lines, offset = complete_lines(text, offset)
            for line in lines:
                display.display(f"  [{host}] {line}", color=C.COLOR_VERBOSE)
                polls = 1
            is_silent = time.monotonic() - last_asked > SILENCE_SECONDS
            if polls < 3 or (not is_silent and polls % 4):
                continue
            last_asked = time.monotonic()
            status = self._status(job_id, "status", task_vars)
            if status.get("finished"):
                lines, offset = complete_lines(self._read(path, offset), offset)
                for line in lines:
                    display.display(f"  [{host}] {line}", color=C.COLOR_VERBOSE)
                self._status(job_id, "cleanup", task_vars)
                return result_of(status)

    def _read(self, path: str, offset: int) -> str:
        quoted = shlex.quote(path)
        command = f"[ ! -e {quoted} ] || tail -c +{offset + 1} {quoted}"
        return self._low_level_execute_command(command, sudoable=True).get("stdout", "")

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


def complete_lines(text: str, offset: int) -> tuple[list[str], int]:
    """Return the lines of `text` that are written to their end, and the offset behind them."""
    head, newline, _rest = text.rpartition("\n")
    if not newline:
        return [], offset
    return head.split("\n"), offset + len((head + newline).encode())


def result_of(status: dict) -> dict:
    """Return the module's own result out of what the async machinery says."""
    own = ("ansible_job_id", "finished", "started", "results_file", "erased")
    return {key: value for key, value in status.items() if key not in own}
