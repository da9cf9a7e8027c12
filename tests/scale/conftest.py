# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One simulated cluster for all tests of the lane, a large site, and the figures of a run."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import support  # noqa: E402

support.make_collection_importable()

import cluster_site  # noqa: E402
from simulation import STATE, Simulation  # noqa: E402


@pytest.fixture(scope="session")
def cluster():
    """A cluster of 500 nodes with nothing of the platform in it."""
    started = Simulation()
    started.up()
    yield started
    started.down()


@pytest.fixture(scope="session")
def site(cluster, tmp_path_factory):
    """The example inventory with the sizes of a large site."""
    folder = tmp_path_factory.mktemp("scale")
    found = cluster_site.Site(folder, cluster.kubeconfig, cluster.within)
    shutil.copytree(HERE / "site", found.inventory, dirs_exist_ok=True)
    return found


class Figures:
    """What was measured, as a table. No test judges it: this machine has other work."""

    def __init__(self, cluster: Simulation) -> None:
        self._cluster = cluster
        self._rows = [("", "seconds", "CPU of commands", "CPU of the control plane")]

    @contextlib.contextmanager
    def measured(self, name: str):
        """Take the time of what is done inside, and what was computed meanwhile."""
        before = self._clocks()
        yield
        took = (after - begun for begun, after in zip(before, self._clocks(), strict=True))
        self._rows.append((name, *(f"{seconds:.0f}" for seconds in took)))

    def note(self, name: str, value: int) -> None:
        """Have a number in the table."""
        self._rows.append((name, str(value), "", ""))

    def table(self) -> str:
        """Return all of it as text."""
        for name, took in self._cluster.cpu_seconds().items():
            self._rows.append((f"CPU of {name}", "", "", f"{took:.0f}"))
        widths = [max(map(len, column)) for column in zip(*self._rows, strict=True)]
        lines = (zip(row, widths, strict=True) for row in self._rows)
        return "".join("  ".join(f"{one:<{width}}" for one, width in line) + "\n" for line in lines)

    def _clocks(self) -> tuple[float, float, float]:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        computed = sum(self._cluster.cpu_seconds().values())
        return time.monotonic(), used.ru_utime + used.ru_stime, computed


@pytest.fixture(scope="session")
def figures(cluster):
    """The table of this run, printed in the end."""
    found = Figures(cluster)
    yield found
    table = found.table()
    Path(os.environ.get("TEST_REPORTS", STATE.parent), "figures.txt").write_text(table)
    print(f"\n{table}")


@pytest.fixture
def objects(cluster):
    """Return a function that lists the objects of a kind in the platform's namespace."""

    def listed(kind: str, *words: str) -> list[dict]:
        where = ("--namespace", cluster_site.NAMESPACE)
        return json.loads(cluster.kubectl("get", kind, *where, "--output", "json", *words))["items"]

    return listed
