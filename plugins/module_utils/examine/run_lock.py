# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One run at a time works on a host: the file that says which."""

from __future__ import annotations

import fcntl
import json
import os
import time

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.host.facts import read


class Lock:
    """The file that says which run works on this host."""

    def __init__(self, params: dict):
        self.params = params
        self.path = params["lock_path"]
        self.me = {**params["owner"], "here": read("/proc/sys/kernel/random/boot_id").strip()}

    def take(self) -> dict:
        """The run that holds the lock after the attempt."""
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            holder = parse(file.read())
            if not self.is_mine_to_take(holder):
                return holder
            file.seek(0)
            file.truncate()
            json.dump({**self.me, "time": time.time()}, file)
        return self.me

    def is_mine_to_take(self, holder: dict) -> bool:
        return (
            not holder
            or is_same_run(holder, self.me)
            or self.params["take_over"]
            or holder.get("here") != self.me["here"]  # this host was rebooted since
            or (
                bool(self.params["ended_owner"]) and is_same_run(holder, self.params["ended_owner"])
            )
            or time.time() - holder.get("time", 0) > self.params["lock_max_age_seconds"]
        )

    def release(self) -> bool:
        holder = parse(read(self.path))
        if holder and is_same_run(holder, self.me):
            os.unlink(self.path)
            return True
        return False


def parse(text: str) -> dict:
    try:
        return json.loads(text)
    except ValueError:  # empty, or cut off when the disk was full
        return {}


def is_same_run(owner: dict, other: dict) -> bool:
    return all(owner.get(key) == other.get(key) for key in ("node", "boot", "pid", "started"))


def is_gone(owner: dict, me: dict, started_now) -> bool | None:
    """Whether the lock's owner has ended; None where this control node cannot know.

    started_now: process id -> its start, None where no such process runs.
    """
    if owner.get("node") != me["node"]:
        return None
    if owner.get("boot") != me["boot"]:
        return True
    return started_now(owner.get("pid", 0)) != owner.get("started")


def lock_problem(owner: dict, max_age_seconds: int) -> Finding:
    return Finding(
        "lock",
        f"another run is in progress: {owner.get('playbook', 'a playbook')}, started "
        f"{owner.get('since', '?')} by {owner.get('user', '?')} on {owner.get('host', '?')} "
        f"(process {owner.get('pid', '?')})",
        "one run at a time",
        "wait until it ends. If it is gone, the lock is taken over by itself from the same control "
        f"node, from others after {max_age_seconds} s or with preflight_take_over=true",
    )
