# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight found on a host as one text. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding


def report(problems: list[Finding], host: str) -> str:
    """All of them, numbered."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"  {number}. {problem}" for number, problem in enumerate(problems, 1)]
    return "\n".join([f"{count} found on {host}, nothing was changed:", *lines])
