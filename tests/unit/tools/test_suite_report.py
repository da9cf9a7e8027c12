# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The report counts what pytest really wrote, and its last line reads as pytest's."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import suite_report
from suite_report import Ended, Result

TESTS = """
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="no such thing here")
def test_skipped(): pass
@pytest.mark.xfail
def test_known(): assert False
@pytest.fixture
def broken(): raise OSError("away")
def test_broken(broken): pass
"""


@pytest.fixture
def run(tmp_path):
    """Run a file of tests with pytest; return its status and its report."""

    def runner(text):
        (tmp_path / "test_it.py").write_text(text)
        path = tmp_path / "report.xml"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={path}"]
        done = subprocess.run(
            [*command, "test_it.py"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done, path

    return runner


def ended(status, *results, steps=()):
    return Ended("job", status, 9.0, 1.0, list(results), list(steps))


def test_outcomes_reasons_and_the_closing_line_are_those_of_pytest(run):
    done, path = run(TESTS)
    results = suite_report.results_of("job", done.returncode, [path])
    assert {result.test.partition("::")[2]: result.outcome for result in results} == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_skipped": "skipped",
        "test_known": "xfailed",
        "test_broken": "errors",
    }
    (skipped,) = [result for result in results if result.outcome == "skipped"]
    assert skipped.reason == "no such thing here"
    counts = done.stdout.strip().splitlines()[-1].strip("= ").partition(" in ")[0]
    said = suite_report.closing_line(results, 3725.5)
    assert said.strip("= ") == f"{counts} in 3725.50s (1:02:05)"


def test_a_status_that_no_report_explains_is_an_error(run):
    done, path = run("def test_good(): pass\n")
    assert done.returncode == 0
    assert [r.outcome for r in suite_report.results_of("job", 0, [path])] == ["passed"]
    killed = suite_report.results_of("job", -9, [path])
    assert [result.outcome for result in killed] == ["passed", "errors"]
    assert "ended with -9" in killed[-1].reason


def test_no_report_and_half_a_report_are_errors(run, tmp_path):
    assert [r.outcome for r in suite_report.results_of("job", 0, [])] == ["errors"]
    _done, path = run("def test_good(): pass\n")
    path.write_text(path.read_text()[:-40])
    (result,) = suite_report.results_of("job", 0, [path])
    assert result.outcome == "errors" and path.name in result.reason


def test_a_file_that_cannot_be_imported_is_an_error(run):
    done, path = run("import no_such_module\n")
    assert [r.outcome for r in suite_report.results_of("job", done.returncode, [path])] == [
        "errors"
    ]


def test_tests_of_all_reports_of_a_job_count(run, tmp_path):
    done, path = run("def test_good(): pass\n")
    inner = tmp_path / "inner.xml"
    inner.write_text(path.read_text().replace("test_good", "test_inside"))
    results = suite_report.results_of("job", done.returncode, [path, inner])
    assert [result.test for result in results] == ["test_it::test_inside", "test_it::test_good"]


def test_the_report_names_slow_skipped_and_failed_tests_and_ends_in_the_counts():
    results = [Result("job", f"t::number_{n}", "passed", float(n)) for n in range(60)]
    results.append(Result("job", "t::bad", "failed", 0.5, "assert 1 == 2\n more"))
    waiting = [Result("late", f"t::late_{n}", "skipped", 0.0, "no time left") for n in range(3)]
    text = suite_report.report(
        [ended(1, *results, steps=[("converge", 4.0)]), Ended("late", None, 0, 0, waiting, [])], 61
    )
    lines = text.splitlines()
    slow = [line for line in lines if "t::number_" in line]
    assert len(slow) == 40 and "number_59" in slow[0]
    assert "SKIPPED [3] late: no time left" in lines
    assert "FAILED job: t::bad - assert 1 == 2" in lines
    assert any(re.search(r"\b4\.0 +converge$", line) for line in lines)
    assert any(line.endswith("late (not begun)") for line in lines)
    assert lines[-1].strip("=") == " 1 failed, 60 passed, 3 skipped in 61.00s (0:01:01) "


def test_a_run_fails_by_a_job_that_failed_and_not_by_one_that_was_not_begun():
    late = Ended("late", None, 0, 0, [], [])
    assert suite_report.exit_status([ended(0), late]) == 0
    assert suite_report.exit_status([ended(0), late, ended(5)]) == 1
