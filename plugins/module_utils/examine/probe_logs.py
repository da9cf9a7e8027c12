# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether logs arrive where they are kept, and go on to the SIEM. For verify."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.examine import logs
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    NOT_APPLICABLE,
    Finding,
    verdict,
)

ARGUMENTS = {
    "data_dir": {"type": "path", "required": True},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "line": {"type": "str", "required": True},
    "siem": {"type": "str", "default": ""},
    "prefix": {"type": "str", "required": True},
    "wait_seconds": {"type": "int", "default": 30},
}


def arrive(name: str, params: dict[str, Any]) -> list[Finding]:
    """Wait for a line that each host's shipper was made to write."""
    folder = os.path.join(params["data_dir"], "log_collector", "logs")
    missing = list(params["hosts"])
    ends_at = time.monotonic() + params["wait_seconds"]
    while True:
        missing = [host for host in missing if not logs.arrived(folder, host, params["line"])]
        if not missing or time.monotonic() >= ends_at:
            break
        time.sleep(1)
    queues = [q for q in logs.read(params["data_dir"]) if q.service == "log_collector"]
    return [judge_hosts(name, missing, params), judge_siem(name, queues, params)]


def judge_hosts(name: str, missing: list[str], params: dict[str, Any]) -> Finding:
    """Return whether every host's line is there. Pure."""
    hosts, prefix = params["hosts"], params["prefix"]
    return Finding(
        f"{name} of every host arrive",
        f"none of {', '.join(missing)}" if missing else f"a line of {len(hosts)} of {len(hosts)}",
        "a line written just now, of each host, in the files of this one",
        f"there, read docker logs {prefix}log_shipper; here docker logs {prefix}log_collector",
        status=verdict(not missing),
    )


def judge_siem(name: str, queues: list[logs.Queue], params: dict[str, Any]) -> Finding:
    """Return whether what goes to the SIEM goes. Pure."""
    title = f"{name} go on to the SIEM"
    if not params["siem"]:
        return Finding(title, "logs_siem is not set", status=NOT_APPLICABLE)
    stuck = [queue for queue in queues if queue.is_stuck]
    waiting = sum(queue.lines for queue in stuck)
    return Finding(
        title,
        f"{waiting} lines wait for {params['siem']}" if stuck else "nothing waits",
        "queues that empty",
        f"docker logs {params['prefix']}log_collector says why it cannot send",
        status=verdict(not stuck),
    )
