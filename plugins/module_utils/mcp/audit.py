# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The gateway's audit log, from its files or out of pods: who called which tool how often."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from ansible_collections.intranet.mcp.plugins.module_utils.common import errors, regular

# The gateway writes the time first.
_BEGINNING = re.compile(rb'{"time":"([0-9]{4}-[0-9]{2}-[0-9]{2})')
# Clients choose the names they ask for; who invents many fills no memory with them.
MAX_ROWS = 20_000
OTHERS = "(others)"

Row = dict[str, Any]


def calls(path: str, since: str, until: str, keep_files: int) -> Row:
    """Return calls of tools from one day to another (both included), and whether they are all.

    path: the newest file; FILE.1 and so on are older. keep_files: how many of those the gateway
    keeps; where there are fewer, it never threw any away.
    """
    with contextlib.ExitStack() as opened:
        streams = _open_all(path, keep_files, opened)
        lines = itertools.chain.from_iterable(map(regular.lines, reversed(streams)))
        found = _counted(lines, since, until)
        is_whole = len(streams) <= keep_files or found["begins"] < since
    return {**found, "is_whole": is_whole, "pods": []}


def calls_of_pods(logs: dict[str, bytes], since: str, until: str) -> Row:
    """Return calls of tools in what pods said, by their names.

    They are never known to be all: a pod that is gone took what it said along.
    """
    lines = itertools.chain.from_iterable(log.splitlines() for log in logs.values())
    found = _counted(lines, since, until)
    begins = min((day for log in logs.values() if (day := _first_day(log))), default="")
    return {**found, "begins": begins, "is_whole": False, "pods": sorted(logs)}


def _counted(lines: Iterable[bytes], since: str, until: str) -> Row:
    found: dict[tuple[str, ...], Row] = {}
    unreadable, begins = 0, ""
    for line in lines:
        day = _day(line)
        begins = begins or day
        if since <= day <= until and b'"tools/call"' in line:
            unreadable += not _count(found, line)
    return {
        "calls": sorted(found.values(), key=lambda row: [row[name] for name in _IDENTITY]),
        "begins": begins,
        "unreadable": unreadable,
    }


def _first_day(log: bytes) -> str:
    return next(filter(None, map(_day, log.splitlines())), "")


def _day(line: bytes) -> str:
    """The day of a line; empty where it has none, as what a crash leaves of a file."""
    match = _BEGINNING.match(line)
    return match[1].decode() if match else ""


def _open_all(path: str, keep_files: int, opened: contextlib.ExitStack) -> list[BinaryIO]:
    """Open the files, newest first: one that the gateway puts aside meanwhile is met twice, and so
    none is missed.
    """
    streams: list[BinaryIO] = []
    inodes = set()
    for name in _names(path, keep_files):
        try:
            stream = opened.enter_context(regular.open_regular(name))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise errors.Unknown(
                f"the audit log {name} cannot be read ({error})",
                "a file that this task may read",
                "run it as root (become), or correct path",
            ) from error
        inode = os.fstat(stream.fileno()).st_ino
        if inode not in inodes:
            inodes.add(inode)
            streams.append(stream)
    return streams


def _names(path: str, keep_files: int) -> Iterator[str]:
    yield path
    yield from (f"{path}.{number}" for number in range(1, keep_files + 1))


_IDENTITY = ("caller", "team", "server", "tool")


def _count(found: dict[tuple[str, ...], Row], line: bytes) -> bool:
    """Count a line; False where it is none, as after a disk was full."""
    try:
        entry = json.loads(line)
        status = entry["status"]
        identity = [str(entry.get(name) or "") for name in ("caller", "team", "server", "name")]
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    if entry.get("method") != "tools/call":
        return True
    # A tool that no server has belongs to nobody; its name was invented by the client.
    identity[3] = identity[3] if identity[2] else ""
    if tuple(identity) not in found and len(found) >= MAX_ROWS:
        identity[3] = OTHERS
    row = found.setdefault(
        tuple(identity),
        {**dict(zip(_IDENTITY, identity)), "calls": 0, "failed": 0, "refused": 0},  # noqa: B905  of one length
    )
    row["calls" if status != "refused" else "refused"] += 1
    row["failed"] += status not in ("ok", "refused")
    return True
