# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the test suite consists of, what may begin next, and what still ends in time.

Pure: suite.py starts programs and reads clocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

INTEGRATION = "tests/integration/pytest"
NO_TIME = "no time left on this machine"
# Where images come from, beside package mirrors: publishers, registries, a company's authority.
REGISTRIES = ("modules-images", "modules-registries")
# What each site of a cluster changes; and an ACME server, compiled first.
KUBERNETES, ACME = "modules-kubernetes", "modules-acme"
# Jobs with a command of their own, which no whole run holds.
ALONE = ("standard", "enterprise", "scale", "keycloak", "pylint", "cores", *REGISTRIES)
ALONE += (KUBERNETES, ACME)
# Below this much measured work a machine's speed is not known.
MEASURED_ENOUGH_SECONDS = 30


class Job(NamedTuple):
    """One pytest run, which shares nothing with the jobs that may run beside it."""

    name: str
    paths: tuple[str, ...]
    seconds: int  # typical: two lanes on two cores at 2 GHz, images at hand
    needs: tuple[str, ...] = ()  # jobs that end before, where they are part of the run
    measures_speed: bool = True  # how long it takes depends on the machine alone
    waits: bool = False  # it hardly computes: one such job runs beside those in the lanes
    inner: tuple[str, ...] = ()  # tests that its tests run as programs of their own


def _modules(name: str, seconds: int, *tests: str, waits: bool = False) -> Job:
    paths = tuple(f"{INTEGRATION}/test_{test}.py" for test in tests)
    return Job(name, paths, seconds, needs=("images",), waits=waits)


# Files that share a service that a session starts (LiteLLM, Ollama) stand in one job. In those that
# wait, failovers, checks and timeouts pass by in containers.
_MODULES = (
    _modules("modules-clusters", 300, "postgres_member", "redis_member", waits=True),
    _modules(
        "modules-balancers",
        260,
        *("balancer_reload", "balancer_server", "balancer_edge", "keepalived", "traefik", "nginx"),
        waits=True,
    ),
    _modules("modules-ssh", 220, "progress_over_ssh", "large_file", waits=True),
    _modules("modules-monitoring", 850, "monitoring", "panels", "alert_rules", waits=True),
    # Those of models unpack the same weights into the same cache.
    _modules("modules-models", 450, "model_sources", "model_limits", "ollama_model", "ollama_gpu"),
    _modules(
        "modules-litellm",
        600,
        *("litellm_key", "litellm_people", "litellm_start", "litellm_usage_info"),
        *("litellm_metrics", "teams_role", "portal_people"),
        *("image", "health"),
    ),
    _modules("modules-engines", 190, "balancer_engines"),
    _modules(
        "modules-hosts",
        290,
        *("docker_supervisor", "files", "firewall", "isolation", "nvidia_toolkit", "preflight"),
        *("own_authority", "log_certificates"),
    ),
    _modules(KUBERNETES, 520, "kubernetes_sites"),
    _modules(ACME, 230, "acme"),
    _modules("modules-images", 330, "trust", "mcp_images"),
    # The company's registry is started once for both.
    _modules("modules-registries", 280, "registries", "publishers_images"),
)

_OTHER_SECONDS = 330


def _other_modules(root: Path) -> Job:
    """Return the job for the files that no other job names, so that none is left out."""
    named = {path for job in _MODULES for path in job.paths}
    found = (str(path.relative_to(root)) for path in (root / INTEGRATION).glob("test_*.py"))
    paths = tuple(sorted(path for path in found if path not in named))
    return Job("modules-other", paths, _OTHER_SECONDS, needs=("images",))


def jobs(root: Path) -> dict[str, Job]:
    """Return every job by its name."""
    light = tuple(f"molecule/light/{part}" for part in ("tests", "bad_input", "doctor"))
    suite = "tests/suite/test_{}.py".format
    listed = (
        # How long it takes depends on how many images are at hand.
        Job("images", (suite("images"),), 60, measures_speed=False),
        Job("molecule", (suite("molecule"),), 1700, ("images",), inner=light),
        Job("standard", (suite("standard"),), 4000, ("images",)),
        Job("enterprise", ("tests/enterprise",), 1500, ("images",)),
        # At idle priority: what else the machine does decides how long it takes.
        Job("scale", ("tests/scale",), 900, measures_speed=False),
        Job("lint", (suite("lint"),), 130),
        Job("unit", ("tests/unit",), 110),
        Job("artifact", (suite("artifact"),), 20),
        Job("gateway", (suite("gateway"),), 220),
        Job("portal", (suite("portal"),), 240),
        Job("keycloak", (suite("keycloak"),), 400),
        Job("sanity", (suite("sanity"),), 140),
        Job("pylint", (suite("pylint"),), 120),
        *_MODULES,
        _other_modules(root),
        Job("cores", (suite("cores"),), 70),
    )
    return {job.name: job for job in listed}


def stages() -> dict[str, list[str]]:
    """Return the names of the jobs of each stage of the Makefile, in the order of their turn.

    In a whole run the long way (images, then Molecule) has a lane from the beginning. In the other
    one cheap findings come first, and then the modules. Long jobs come before short ones, so that
    the lanes end together.
    """
    alone = ["lint", "unit", "artifact", "gateway", "portal", "images", "cores"]
    alone += ["scale", "keycloak"]
    cheap = ["lint", "unit", "artifact", "gateway", "portal", "sanity"]
    seconds = {job.name: job.seconds for job in _MODULES} | {"modules-other": _OTHER_SECONDS}
    modules = sorted(seconds, key=seconds.get, reverse=True)
    daily = [name for name in modules if name not in ALONE]
    return {
        **{name: [name] for name in alone},
        "sanity": ["sanity", "pylint"],
        "modules": ["images", *modules],
        "molecule": ["images", "molecule"],
        "standard": ["images", "standard"],
        "enterprise": ["images", "enterprise"],
        "quick": ["gateway", "lint", "unit", "artifact"],
        "registries": ["images", *REGISTRIES],
        "kubernetes": [KUBERNETES],
        "acme": ["images", ACME],
        "all": ["images", "molecule", *cheap, *daily],
    }


def second_attempts(at_most: int) -> list[str]:
    """Return pytest's options by which so many failed tests are tried once more, and are told of.

    Tests that run whole programs are not: those give their own tests a second attempt.
    """
    if not at_most:
        return []
    limits = [f"--max-suite-reruns={at_most}", "--rerun-exclude-path=tests/suite"]
    return ["--reruns=1", "--rerun-show-tracebacks", *limits]


def next_job(waiting: Collection[Job], running: Collection[Job], lanes: int) -> Job | None:
    """Return the first job that may begin now: what it needs has ended, and there is room."""
    not_ended = {job.name for job in (*waiting, *running)}
    for job in waiting:
        if not_ended.isdisjoint(job.needs) and _has_room(job, running, lanes):
            return job
    return None


def _has_room(job: Job, running: Collection[Job], lanes: int) -> bool:
    if lanes == 1:  # whoever asks for one wants nothing beside it
        return not running
    if job.waits:
        return not any(other.waits for other in running)
    return sum(not other.waits for other in running) < lanes


def slowness(ended: Iterable[tuple[Job, float]]) -> float:
    """Return how many times the typical seconds this machine takes, as far as it is known."""
    measured = [(job.seconds, seconds) for job, seconds in ended if job.measures_speed]
    typical = sum(seconds for seconds, _took in measured)
    if typical < MEASURED_ENOUGH_SECONDS:
        return 1.0
    return sum(took for _seconds, took in measured) / typical


def too_late(job: Job, factor: float, seconds_left: float | None) -> str | None:
    """Return why a job is not begun; None when it ends in time, or nothing bounds the time."""
    needed = job.seconds * factor
    if seconds_left is None or needed <= seconds_left:
        return None
    return f"{NO_TIME} ({job.name} needs about {needed:.0f} s, {max(seconds_left, 0):.0f} s left)"
