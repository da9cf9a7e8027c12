# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What may begin next, what still ends in time, and that no test is left out or run twice."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import suite_plan
from suite_plan import Job
from support import REPOSITORY

JOBS = suite_plan.jobs(REPOSITORY)
LONG = Job("long", ("x",), 600)
IMAGES = Job("images", ("x",), 60, measures_speed=False)
WAITS = Job("waits", ("x",), 300, waits=True)
MOLECULE = Job("molecule", ("x",), 1500, ("images",))


def test_every_test_of_the_modules_is_in_exactly_one_job():
    found = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / suite_plan.INTEGRATION).glob("test_*.py")
    }
    jobs = [JOBS[name] for name in suite_plan.stages()["modules"] if name != "images"]
    times = Counter(path for job in jobs for path in job.paths)
    assert set(times) == found
    assert set(times.values()) == {1}


def test_every_path_of_a_job_is_there():
    paths = [path for job in JOBS.values() for path in (*job.paths, *job.inner)]
    assert not [path for path in paths if not (REPOSITORY / path).exists()]


def test_a_whole_run_holds_every_job_once_but_for_those_with_a_command_of_their_own():
    stages = suite_plan.stages()
    assert sorted(stages["all"]) == sorted(set(JOBS) - set(suite_plan.ALONE))
    others = {job for stage, jobs in stages.items() for job in jobs if stage != "all"}
    assert set(suite_plan.ALONE) <= others
    assert not {need for job in JOBS.values() for need in job.needs} - set(JOBS)


def test_the_makefile_knows_every_stage():
    asked = re.findall(r"\$\(SUITE\) (\w+)", (REPOSITORY / "Makefile").read_text())
    assert sorted(asked) == sorted(suite_plan.stages())


def test_two_jobs_start_no_service_that_a_session_shares():
    """LiteLLM and Ollama take half a minute each; who uses them stands in one job."""
    users = {
        fixture: {
            job.name
            for job in JOBS.values()
            for path in job.paths
            if suite_plan.INTEGRATION in path
            and re.search(
                rf"^def (test_\w+|site|run)\(([^)]*, )?{fixture}[,)]",
                (REPOSITORY / path).read_text(),
                re.MULTILINE,
            )
        }
        for fixture in ("litellm", "ollama")
    }
    assert users["litellm"] == {"modules-litellm"}
    assert users["ollama"] == {"modules-models"}


def test_a_job_waits_for_what_it_needs():
    assert suite_plan.next_job([MOLECULE, LONG], [IMAGES], 2) is LONG
    assert suite_plan.next_job([MOLECULE], [IMAGES], 2) is None
    assert suite_plan.next_job([MOLECULE, IMAGES], [], 2) is IMAGES
    assert suite_plan.next_job([MOLECULE, LONG], [], 2) is MOLECULE


def test_no_more_jobs_begin_than_there_are_lanes():
    assert suite_plan.next_job([LONG], [IMAGES, MOLECULE], 2) is None
    assert suite_plan.next_job([LONG], [IMAGES, MOLECULE], 3) is LONG


def test_one_job_that_waits_runs_beside_those_in_the_lanes():
    assert suite_plan.next_job([LONG, WAITS], [IMAGES, MOLECULE], 2) is WAITS
    assert suite_plan.next_job([WAITS], [IMAGES, WAITS._replace(name="other")], 2) is None
    assert suite_plan.next_job([LONG], [IMAGES, WAITS], 2) is LONG


def test_in_a_single_lane_nothing_runs_beside():
    assert suite_plan.next_job([WAITS], [IMAGES], 1) is None
    assert suite_plan.next_job([WAITS], [], 1) is WAITS


def test_the_long_way_has_a_lane_from_the_beginning():
    waiting = [JOBS[name] for name in suite_plan.stages()["all"]]
    first = suite_plan.next_job(waiting, [], 2)
    waiting.remove(first)
    assert first.name == "images"
    assert suite_plan.next_job(waiting, [first], 2).name == "lint"
    assert suite_plan.next_job(waiting, [JOBS["lint"]], 2).name == "molecule"


@pytest.mark.parametrize(
    ("ended", "factor"),
    [
        ([], 1.0),
        ([(Job("short", (), 20), 60.0)], 1.0),  # too little to go by
        ([(IMAGES, 1100.0), (LONG, 600.0)], 1.0),  # images that were built, not found
        ([(LONG, 900.0)], 1.5),
        ([(LONG, 300.0), (Job("unit", (), 60), 360.0)], 1.0),
    ],
)
def test_a_machines_speed_is_that_of_the_jobs_that_ended(ended, factor):
    assert suite_plan.slowness(ended) == pytest.approx(factor)


def test_without_a_deadline_everything_begins():
    assert suite_plan.too_late(MOLECULE, 100.0, None) is None


def test_a_job_that_ends_in_time_begins():
    assert suite_plan.too_late(MOLECULE, 1.5, 2250) is None


def test_a_job_that_cannot_end_in_time_is_told_to_be_too_late():
    reason = suite_plan.too_late(MOLECULE, 1.5, 2000)
    assert reason == ("no time left on this machine (molecule needs about 2250 s, 2000 s left)")
    assert "0 s left" in suite_plan.too_late(MOLECULE, 1.0, -5)
