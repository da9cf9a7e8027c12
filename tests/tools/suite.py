#!/usr/bin/env python3
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the jobs of a stage side by side: `suite.py STAGE`. Ends with one closing line, one status.

Each job is a pytest run of its own whose output goes to .cache/test-run/JOB.log; it is shown live
where jobs run one after the other, and otherwise when the job failed.

TEST_LANES: how many jobs compute at a time (2); one that mostly waits runs beside them.
TEST_DEADLINE_MINUTES: a job that cannot end within this time is not begun; its tests are skipped.
One that is at work five minutes later all the same is ended, so that there is a report.
TEST_SECOND_ATTEMPTS: how many failed tests of each job are tried once more (none). Their output is
shown, and the report names them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import suite_plan
import suite_report

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / ".cache" / "test-run"
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
IMPORT_MODE = "--import-mode=importlib"
PROGRESS_SECONDS = 60
ENDS_WITHIN_SECONDS = 60
OVERTIME_SECONDS = 300
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How Molecule names the step of its sequence that begins.
STEP = re.compile(r"➜ (?P<step>[^:]+): Executing$")
COLOR = re.compile(r"\x1b\[[0-9;]*m")
COLLECTED = re.compile(r"^(?P<path>\S+\.py)::(?P<test>.+)$", re.MULTILINE)


def say(text: str) -> None:
    """Print a line of the suite's own, at once."""
    print(text, flush=True)


class Running:
    """A job at work: its process, its output, and the steps it names."""

    def __init__(self, job: suite_plan.Job, is_live: bool) -> None:
        self.job, self.is_live = job, is_live
        self.log = RUNS / f"{job.name}.log"
        self.reports = RUNS / job.name
        shutil.rmtree(self.reports, ignore_errors=True)  # of an earlier run
        self.reports.mkdir(parents=True)
        self.began = time.monotonic()
        self.last_line = ""
        self._steps: list[tuple[str, float]] = []
        report = self.reports / "report.xml"
        again = suite_plan.second_attempts(whole_number("TEST_SECOND_ATTEMPTS", 0))
        color = "yes" if is_live and sys.stdout.isatty() else "no"
        self.process = subprocess.Popen(
            [*PYTEST, IMPORT_MODE, f"--color={color}", f"--junitxml={report}", *again, *job.paths],
            cwd=ROOT,
            env={**os.environ, "TEST_REPORTS": str(self.reports)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self.log.open("wb") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                if self.is_live:
                    sys.stdout.buffer.write(line)
                    sys.stdout.buffer.flush()
                self._note(COLOR.sub("", line.decode(errors="replace")).strip(" │\r\n"))

    def _note(self, line: str) -> None:
        self.last_line = line or self.last_line
        if found := STEP.search(line):
            self._steps.append((found["step"], time.monotonic()))

    def ended(self, status: int, usage) -> suite_report.Ended:
        """Return what became of the job, whose process has ended."""
        self.process.returncode = status
        self._reader.join(ENDS_WITHIN_SECONDS)  # what it left behind may hold its output open
        now = time.monotonic()
        name = self.job.name
        results = suite_report.results_of(name, status, self.reports.glob("*.xml"))
        steps = [
            (step, end - began)
            for (step, began), (_next, end) in pairwise([*self._steps, ("", now)])
        ]
        cpu = usage.ru_utime + usage.ru_stime
        return suite_report.Ended(name, status, now - self.began, cpu, results, steps)

    def stop(self, with_signal: int) -> None:
        """End the job and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, with_signal)


def collect(*arguments: str) -> list[str]:
    """Return the names of tests without running them."""
    listed = subprocess.run(
        [*PYTEST, "--collect-only", "-q", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return [f"{Path(m['path']).stem}::{m['test']}" for m in COLLECTED.finditer(listed)]


def not_begun(job: suite_plan.Job, reason: str) -> suite_report.Ended:
    """Return every test of a job as skipped, those that its tests run included."""
    tests = collect(IMPORT_MODE, *job.paths)
    # Inner tests run one directory at a time: modules of the same name stand there.
    tests += [test for path in job.inner for test in collect(path)]
    results = [
        suite_report.Result(job.name, test, "skipped", 0.0, reason) for test in tests or [job.name]
    ]
    return suite_report.Ended(job.name, None, 0.0, 0.0, results, [])


class Suite:
    """The lanes, what waits for one, and what has ended."""

    def __init__(self, jobs: list[suite_plan.Job], lanes: int, seconds: float | None) -> None:
        self.waiting, self.lanes, self.seconds = jobs, min(lanes, len(jobs)), seconds
        self.began = time.monotonic()
        self.running: dict[int, Running] = {}
        self.ended: list[suite_report.Ended] = []
        self._measured: list[tuple[suite_plan.Job, float]] = []

    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def run(self) -> None:
        """Run everything that ends in time."""
        said = time.monotonic()
        while self.waiting or self.running:
            while job := self._next():
                self._begin(job)
            if not self._reap() and time.monotonic() - said > PROGRESS_SECONDS:
                said = time.monotonic()
                self._progress()
            if self.seconds is not None and self.elapsed() > self.seconds + OVERTIME_SECONDS:
                say("the deadline passed long ago: ending what is at work")
                self.stop("the deadline passed")
                return

    def _next(self) -> suite_plan.Job | None:
        at_work = [running.job for running in self.running.values()]
        return suite_plan.next_job(self.waiting, at_work, self.lanes)

    def _begin(self, job: suite_plan.Job) -> None:
        self.waiting.remove(job)
        left = None if self.seconds is None else self.seconds - self.elapsed()
        reason = suite_plan.too_late(job, suite_plan.slowness(self._measured), left)
        if reason:
            say(f"[{self.elapsed():5.0f} s] {job.name}: not begun, {reason}")
            self.ended.append(not_begun(job, reason))
            return
        say(f"[{self.elapsed():5.0f} s] {job.name}: begins")
        running = Running(job, is_live=self.lanes == 1)
        self.running[running.process.pid] = running

    def _reap(self) -> bool:
        """Wait a moment for a job to end; tell whether one did."""
        for pid in list(self.running):
            waited, status, usage = os.wait4(pid, os.WNOHANG)
            if waited:
                self._end(self.running.pop(pid), os.waitstatus_to_exitcode(status), usage)
                return True
        time.sleep(0.2)  # wait4 takes no time limit
        return False

    def _end(self, running: Running, status: int, usage) -> None:
        ended = running.ended(status, usage)
        self.ended.append(ended)
        self._measured.append((running.job, ended.seconds))
        counts = suite_report.closing_line(ended.results, ended.seconds).strip("= ")
        is_clean = not any(result.outcome in suite_report.BAD for result in ended.results)
        if (status or not is_clean) and not running.is_live:
            did = "failed" if status else "needed a second attempt"
            say(f"{f' {running.job.name} {did}; its output: '.center(suite_report.WIDTH, '=')}")
            say(running.log.read_text(errors="replace").rstrip())
            say("=" * suite_report.WIDTH)
        say(f"[{self.elapsed():5.0f} s] {running.job.name}: {'FAILED, ' if status else ''}{counts}")

    def _progress(self) -> None:
        for running in self.running.values():
            took = time.monotonic() - running.began
            line = f"{running.job.name} at work for {took:.0f} s: {running.last_line}"
            say(f"[{self.elapsed():5.0f} s] {line[:160]}")

    def stop(self, reason: str) -> None:
        """End what is at work; that and what waits counts as errors."""
        for job in self.waiting:
            result = suite_report.Result(job.name, job.name, "errors", 0.0, f"not begun: {reason}")
            self.ended.append(suite_report.Ended(job.name, None, 0.0, 0.0, [result], []))
        for running in self.running.values():
            running.stop(signal.SIGINT)  # pytest ends the programs of its tests, too
        ends_at = time.monotonic() + ENDS_WITHIN_SECONDS
        while self.running:
            if time.monotonic() > ends_at:
                for running in self.running.values():
                    running.stop(signal.SIGKILL)
            self._reap()


class Interrupted(BaseException):
    """Somebody wants the run to end."""


def _interrupt(number, _frame):
    for other in STOPPING:
        signal.signal(other, signal.SIG_IGN)  # once is enough
    raise Interrupted(signal.Signals(number).name)


def whole_number(variable: str, default: int | None) -> int | None:
    """Return a variable's value; end the program where it is no whole number."""
    value = os.environ.get(variable, "")
    if not value:
        return default
    if not value.isdecimal():
        sys.exit(f"{variable} is {value!r}; expected a whole number: correct it, or unset it")
    return int(value)


def main() -> int:
    """Run a stage, print the report, return the exit status."""
    stages = suite_plan.stages()
    if len(sys.argv) != 2 or sys.argv[1] not in stages:
        print(f"usage: suite.py STAGE, one of: {', '.join(stages)}", file=sys.stderr)
        return 2
    known = suite_plan.jobs(ROOT)
    jobs = [known[name] for name in stages[sys.argv[1]]]
    lanes = max(1, whole_number("TEST_LANES", 2))
    minutes = whole_number("TEST_DEADLINE_MINUTES", None)
    if minutes is not None:  # for tests that end a long job
        os.environ["TEST_ENDS_AT"] = str(time.time() + minutes * 60)
    RUNS.mkdir(parents=True, exist_ok=True)
    suite = Suite(jobs, lanes, None if minutes is None else minutes * 60)
    interrupted = None
    for number in STOPPING:
        signal.signal(number, _interrupt)
    try:
        suite.run()
    except Interrupted as reason:
        interrupted = reason
        say(f"got {reason}: ending what is at work")
        suite.stop(f"the run got {reason}")
    text = suite_report.report(suite.ended, suite.elapsed())
    (RUNS / "report.txt").write_text(text + "\n")
    say(text)
    return 1 if interrupted else suite_report.exit_status(suite.ended)


if __name__ == "__main__":
    sys.exit(main())
