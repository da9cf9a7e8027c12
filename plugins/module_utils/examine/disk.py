# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Free space where the platform writes: how much there is, and whether it is enough."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict
from ansible_collections.intranet.mcp.plugins.module_utils.host.facts import nearest

LEAST_INODES = 1000


class FileSystem(NamedTuple):
    """The file system that a path lies on, or will."""

    path: str
    device: int
    free_mb: int
    # None where it has no fixed number of them, of which statvfs says 0 of 0.
    free_inodes: int | None


def read(paths: Iterable[str]) -> list[FileSystem]:
    """Return the file system of each path, which need not exist yet."""
    found = []
    for path in dict.fromkeys(paths):
        existing = nearest(path)
        space = os.statvfs(existing)
        free_mb = space.f_bavail * space.f_frsize // 2**20
        inodes = space.f_favail if space.f_files else None
        found.append(FileSystem(path, os.stat(existing).st_dev, free_mb, inodes))
    return found


def judge(check: str, found: FileSystem, needed_mb: int, setting: str) -> Finding:
    """Return whether it has the space it needs. setting: what says how much that is. Pure."""
    free, needed, unit = found.free_mb, needed_mb, "MiB"
    least = f"; nothing is deleted for you, and {setting} sets the least"
    if free >= needed and found.free_inodes is not None and found.free_inodes < LEAST_INODES:
        free, needed, unit = found.free_inodes, LEAST_INODES, "inodes"
        least = "; nothing is deleted for you"
    return Finding(
        check,
        f"{free} {unit} free at {found.path}",
        f"at least {needed} {unit}",
        "make room (old images with docker image prune, models no longer used, backups) or mount "
        f"a larger disk there{least}",
        status=verdict(free >= needed),
    )


def failures(
    check: str, found: Iterable[FileSystem], needed_mb: int, setting: str
) -> list[Finding]:
    """Return a finding for each file system that is too full; one with several paths has one."""
    judged = [(place.device, judge(check, place, needed_mb, setting)) for place in found]
    return list({device: it for device, it in reversed(judged) if it.is_failed}.values())[::-1]
