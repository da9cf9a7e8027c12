# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Jobs run side by side, say what they found, and leave nothing at work behind."""

from __future__ import annotations

import os
import time

import pytest
import suite
import suite_report
from suite_plan import Job

GOOD = "def test_good(): pass\n"
BAD = "def test_bad():\n    assert 'the reason' == ''\n"
ONCE = (
    """
attempts = []
def test_once():
    attempts.append(1)
    assert len(attempts) == 2, "the first attempt"
"""
    + BAD
)
# Says who it is, and ends only when its pytest is told to.
LONG = """
import os, pathlib, subprocess
def test_long():
    program = subprocess.Popen(["sleep", "600"])
    try:
        pathlib.Path({place!r}).write_text(str(program.pid))
        program.wait()
    finally:
        program.kill()
        program.wait()
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Return a function that makes a job of one file of tests."""
    monkeypatch.setattr(suite, "RUNS", tmp_path / "runs")
    monkeypatch.delenv("TEST_SECOND_ATTEMPTS", raising=False)
    (tmp_path / "runs").mkdir()

    def make(name, text, seconds=1, **options):
        path = tmp_path / f"test_{name}.py"
        path.write_text(text)
        return Job(name, (str(path),), seconds, **options)

    return make


def outcomes(ended):
    return [result.outcome for result in ended.results]


def test_jobs_end_in_one_report_and_a_failure_shows_its_output(job, capfd):
    jobs = [
        job("bad", BAD),
        job("good", GOOD, needs=("bad",)),
        job("late", GOOD, 1000),
    ]
    run = suite.Suite(jobs, 2, 500)
    run.run()
    found = {ended.job: ended for ended in run.ended}
    assert outcomes(found["bad"]) == ["failed"] and found["bad"].status == 1
    assert outcomes(found["good"]) == ["passed"] and found["good"].status == 0
    assert outcomes(found["late"]) == ["skipped"] and found["late"].status is None
    assert "no time left on this machine" in found["late"].results[0].reason
    assert suite_report.exit_status(run.ended) == 1
    said = capfd.readouterr().out
    assert "bad failed; its output" in said and "the reason" in said
    assert said.index("bad: FAILED") < said.index("good: begins")
    assert "test_good.py" not in said, "what passed is in its log alone"


def test_what_passes_at_the_second_attempt_alone_is_shown_and_named(job, capfd, monkeypatch):
    monkeypatch.setenv("TEST_SECOND_ATTEMPTS", "1")
    run = suite.Suite([job("once", ONCE), job("good", GOOD)], 2, None)
    run.run()
    found = {ended.job: ended for ended in run.ended}
    assert outcomes(found["once"]) == ["rerun", "passed", "failed"]
    said = capfd.readouterr().out
    assert "the first attempt" in said
    report = suite_report.report(run.ended, 1)
    assert "SECOND ATTEMPT once: test_once::test_once - failed at first" in report
    assert "FAILED once: test_once::test_bad" in report, "one test alone may try again"


def test_a_job_alone_is_shown_live(job, capfd):
    run = suite.Suite([job("good", GOOD)], 2, None)
    run.run()
    assert "test_good.py ." in capfd.readouterr().out
    assert suite_report.exit_status(run.ended) == 0


# As Molecule says it, colours and all.
BLUE, OFF = "\x1b[36m", "\x1b[0m"
STEP = f"{BLUE}INFO{OFF} {BLUE}light{OFF} ➜ {BLUE}converge{OFF}: {BLUE}Executing{OFF}"
SHOWN = f"""
def test_shown(capfd):
    with capfd.disabled():
        print({STEP!r}, flush=True)
"""


def test_steps_that_molecule_names_are_timed(job):
    run = suite.Suite([job("shown", SHOWN)], 1, None)
    run.run()
    assert [step for step, _seconds in run.ended[0].steps] == ["converge"]


def test_an_interrupted_run_ends_the_programs_of_its_tests(job, tmp_path):
    place = tmp_path / "pid"
    jobs = [job("long", LONG.format(place=str(place))), job("waiting", GOOD, needs=("long",))]
    run = suite.Suite(jobs, 2, None)
    run._begin(run._next())
    ends_at = time.monotonic() + 60
    while not (place.exists() and place.read_text()):
        assert time.monotonic() < ends_at, "the job did not begin"
    run.stop("somebody wants it to end")
    with pytest.raises(ProcessLookupError):
        os.kill(int(place.read_text()), 0)
    found = {ended.job: ended for ended in run.ended}
    assert outcomes(found["waiting"]) == ["errors"]
    assert "errors" in outcomes(found["long"])
    assert not run.running


def test_what_is_at_work_long_after_the_deadline_is_ended_and_fails(job, tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "OVERTIME_SECONDS", 1)
    run = suite.Suite([job("long", LONG.format(place=str(tmp_path / "pid")))], 2, 3)
    run.run()
    (ended,) = run.ended
    assert "errors" in outcomes(ended)
    assert suite_report.exit_status(run.ended) == 1
