# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A host's clock beside the control node's. Pure."""

from __future__ import annotations

import time

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict

EARLIEST = 1767225600  # 2026-01-01: a clock before the release of this collection is wrong


def judge(check: str, here: float, control_node: float, tolerance_seconds: int) -> Finding:
    """Return whether both agree, which also takes the time that the module needed to start."""
    off = here - control_node
    seconds = f"{abs(off):.1f}" if abs(off) < 10 else f"{abs(off):.0f}"
    found = f"the clock is {seconds} s off the control node's ({'ahead' if off > 0 else 'behind'})"
    is_right = abs(off) <= tolerance_seconds
    if here < EARLIEST:
        year = time.gmtime(EARLIEST).tm_year
        found, is_right = f"the clock stands before {year}", False
    return Finding(
        check,
        found,
        f"at most {tolerance_seconds} s off the control node's",
        "synchronise it: systemctl enable --now chrony or systemd-timesyncd, with a server that "
        "this network reaches",
        status=verdict(is_right),
    )
