# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs functions at once, each in a process of its own.

Processes and not threads: ansible-core's HTTP client keeps its settings, certificates to trust
included, in one place per process; a probe that crashes takes no other with it; and one that enters
another network namespace is the only one to leave this one.
"""

from __future__ import annotations

import json
import os
import select
import traceback
from collections.abc import Callable
from typing import Any

AT_ONCE = 8


class Crashed(Exception):
    """A function ended without a result; the text says how."""


def run_all(functions: list[Callable[[], Any]], at_once: int = AT_ONCE) -> list[Any]:
    """Return what each function returns (it must be JSON), or a `Crashed` in its place."""
    results: list[Any] = [None] * len(functions)
    waiting = list(enumerate(functions))
    running: dict[int, dict[str, Any]] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            index, function = waiting.pop(0)
            child = _start(function)
            running[child["fd"]] = {**child, "index": index}
        ready, _writable, _broken = select.select(list(running), [], [])
        for fd in ready:
            piece = os.read(fd, 65536)
            if piece:
                running[fd]["text"] += piece
            else:
                ended = running.pop(fd)
                results[ended["index"]] = _finish(ended)
    return results


def _start(function: Callable[[], Any]) -> dict[str, Any]:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        return {"fd": read_end, "pid": pid, "text": b""}
    try:
        os.close(read_end)
        text = _outcome(function)
        with os.fdopen(write_end, "w") as stream:
            stream.write(text)
    finally:
        os._exit(0)  # nothing of the parent is to be cleaned up here


def _outcome(function: Callable[[], Any]) -> str:
    try:
        return json.dumps({"result": function()})
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        return json.dumps({"crashed": f"{type(error).__name__} at {where}: {error}"})


def _finish(ended: dict[str, Any]) -> Any:
    os.close(ended["fd"])
    _pid, status = os.waitpid(ended["pid"], 0)
    try:
        outcome = json.loads(ended["text"])
    except ValueError:
        return Crashed(f"it was ended (wait status {status})")
    return Crashed(outcome["crashed"]) if "crashed" in outcome else outcome["result"]
