# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One alert rule: when it is raised, what it means and what to do."""

from __future__ import annotations

from dataclasses import dataclass

CRITICAL, WARNING = "critical", "warning"
# Alertmanager passes it to receivers that ask for it and to no others.
ALWAYS = "none"


@dataclass(frozen=True)
class Rule:
    """One alert. doctor: doctor's sentence for the cause; action: ours, where it has none.

    only_with: a setting that is 0 where the site has nothing that the rule could watch.
    """

    name: str
    expr: str
    lasting: str
    summary: str
    description: str
    doctor: str = ""
    action: str = ""
    severity: str = CRITICAL
    only_with: str = ""


def new_or_grown(counter: str, span: str) -> str:
    """A counter that went up lately, or that appeared, which `increase` does not see."""
    return f"increase({counter}[{span}]) > 0 or ({counter} unless {counter} offset {span}) > 0"


def share(part: str, whole: str) -> str:
    """What percentage of requests a part was, where there were enough to speak of one."""
    return f"100 * {part} / {whole} > <error_percent> and {whole} > 0.05"
