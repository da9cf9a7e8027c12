# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the jobs of a test run found, in one report with one closing line, as pytest prints it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

SLOWEST = 40
WIDTH = 100
# In the order of pytest's own closing line.
OUTCOMES = ("failed", "passed", "skipped", "xfailed", "errors", "rerun")
# What a reader has to see.
BAD = {"failed": "FAILED", "errors": "ERROR", "rerun": "SECOND ATTEMPT"}


class Result(NamedTuple):
    """How one test ended."""

    job: str
    test: str
    outcome: str  # one of OUTCOMES
    seconds: float = 0.0
    reason: str = ""


class Ended(NamedTuple):
    """How one job ended; a job that was not begun has no status."""

    job: str
    status: int | None
    seconds: float
    cpu_seconds: float
    results: list[Result]
    steps: list[tuple[str, float]]  # parts of its work that are no tests, and their seconds


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    for tag, outcome in (("failure", "failed"), ("error", "errors"), ("skipped", "skipped")):
        found = case.find(tag)
        if found is not None:
            is_expected = found.get("type") == "pytest.xfail"
            return "xfailed" if is_expected else outcome, found.get("message", "")
    return "passed", ""


def _name(case: ElementTree.Element) -> tuple[str | None, str | None]:
    return case.get("classname"), case.get("name")


def read_junit(job: str, path: Path) -> list[Result]:
    """Return the results in a file that pytest's --junitxml wrote.

    It holds each attempt at a test, and says of those before the last just their time.
    """
    results = []
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    for case, following in zip_longest(cases, cases[1:]):
        place = case.get("classname", "").rpartition(".")[2]
        outcome, reason = _outcome(case)
        if following is not None and _name(case) == _name(following):
            outcome, reason = "rerun", "failed at first, and was tried once more"
        test = f"{place}::{case.get('name')}" if place else case.get("name", "")
        results.append(Result(job, test, outcome, float(case.get("time", 0)), reason))
    return results


def results_of(job: str, status: int, reports: Iterable[Path]) -> list[Result]:
    """Return what a job's reports hold; a status that they do not explain is an error, too."""
    results, unreadable = [], []
    for path in sorted(reports):
        try:
            results += read_junit(job, path)
        except (OSError, ElementTree.ParseError) as error:
            unreadable.append(f"{path.name}: {error}")
    is_explained = any(result.outcome in ("failed", "errors") for result in results)
    if unreadable or not results or (status and not is_explained):
        reason = f"pytest ended with {status}, found {len(results)} results"
        results.append(Result(job, job, "errors", 0.0, "; ".join([reason, *unreadable])))
    return results


def closing_line(results: Iterable[Result], seconds: float) -> str:
    """Return the counts of all tests and the time, as pytest says them."""
    counts = Counter(result.outcome for result in results)
    said = [f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome]]
    if counts["errors"] == 1:
        said[said.index("1 errors")] = "1 error"
    clock = f"{int(seconds) // 3600}:{int(seconds) % 3600 // 60:02}:{int(seconds) % 60:02}"
    text = f" {', '.join(said) or 'no tests ran'} in {seconds:.2f}s ({clock}) "
    return text.center(WIDTH, "=")


def _title(text: str) -> str:
    return f" {text} ".center(WIDTH, "=")


def _stages(ended: Iterable[Ended]) -> list[str]:
    lines = [_title("seconds by stage"), "    wall      CPU   tests"]
    for job in ended:
        lines.append(
            f"{job.seconds:8.1f} {job.cpu_seconds:8.1f} {len(job.results):7}  {job.job}"
            + (" (not begun)" if job.status is None else "")
        )
        lines += [f"{seconds:8.1f}                     {step}" for step, seconds in job.steps]
    lines.append("CPU: of the tests' own programs; what containers use is not in it.")
    return lines


def _slowest(results: list[Result]) -> list[str]:
    begun = [result for result in results if result.seconds]
    slow = sorted(begun, key=lambda result: result.seconds, reverse=True)[:SLOWEST]
    return [
        _title(f"slowest {len(slow)} tests, set-up included"),
        *(f"{result.seconds:8.1f}  {result.job}: {result.test}" for result in slow),
    ]


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0]


def _not_passed(results: list[Result]) -> list[str]:
    skipped = Counter(
        (result.job, _first_line(result.reason))
        for result in results
        if result.outcome == "skipped"
    )
    lines = [f"SKIPPED [{number}] {job}: {why}" for (job, why), number in skipped.items()]
    for outcome, word in BAD.items():
        lines += [
            f"{word} {result.job}: {result.test} - {_first_line(result.reason)}"
            for result in results
            if result.outcome == outcome
        ]
    return [_title("short test summary info"), *lines] if lines else []


def report(ended: list[Ended], seconds: float) -> str:
    """Return the whole report; its last line is the closing line."""
    results = [result for job in ended for result in job.results]
    lines = [*_stages(ended), *_slowest(results), *_not_passed(results)]
    return "\n".join([*lines, closing_line(results, seconds)])


def exit_status(ended: Iterable[Ended]) -> int:
    """Return 0 where every job that was begun passed."""
    return int(any(job.status not in (0, None) for job in ended))
