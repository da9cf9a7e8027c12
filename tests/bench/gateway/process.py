# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""CPU time and memory of process trees, from /proc."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# What a proxy starts as its tool server is not the proxy.
UPSTREAM = b"upstream.py"


class Usage(NamedTuple):
    """CPU seconds so far and resident bytes now."""

    cpu: float
    rss: int

    def __add__(self, other: tuple) -> Usage:
        return Usage(self.cpu + other[0], self.rss + other[1])


def _processes() -> dict[int, tuple[int, Usage]]:
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        cpu = (int(fields[11]) + int(fields[12])) / TICK
        found[int(entry.name)] = (int(fields[1]), Usage(cpu, int(fields[21]) * PAGE))
    return found


def _is_upstream(pid: int) -> bool:
    try:
        return UPSTREAM in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def tree(root: int) -> tuple[Usage, Usage]:
    """Return the usage of a process and its descendants: (the program's own, its tool servers')."""
    processes = _processes()
    own, upstream = Usage(0, 0), Usage(0, 0)
    pending = [root]
    while pending:
        pid = pending.pop()
        if pid not in processes:
            continue
        usage = processes[pid][1]
        if pid != root and _is_upstream(pid):
            upstream += usage
        else:
            own += usage
        pending += [child for child, (parent, _) in processes.items() if parent == pid]
    return own, upstream


def machine() -> dict[str, str | int | float]:
    """Return what the figures depend on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": model,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
    }
