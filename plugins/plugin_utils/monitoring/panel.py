# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a panel is, and the queries that panels have in common. Pure.

`<rate>` in a query stands for the time over which a rate is taken, `<span>` for all the time that
is shown. `{{ }}` in a legend is a label, as Grafana writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# One number, several over time, a row an item, and whether something is up over time.
VALUE, LINES, TABLE, STATES = "value", "lines", "table", "states"
# Units, which status pages and Grafana each have their own names for.
COUNT, RATE, PERCENT, SECONDS, BYTES, MONEY = (
    *("count", "rate", "percent", "seconds", "bytes", "money"),
)

# Whose name is not told.
NOBODY = "-"


@dataclass(frozen=True)
class Query:
    """legend: of a line, or a column's head. unit: of the column; that of its panel otherwise."""

    expr: str
    legend: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture, or one table.

    about: what it means, where that is not obvious. rows: of a table, the labels that name a row.
    words: of states 1 and 0; `down` is trouble, other words are none.
    """

    title: str
    kind: str
    unit: str
    queries: tuple[Query, ...]
    about: str = ""
    rows: tuple[str, ...] = ()
    words: tuple[str, str] = ("up", "down")

    @property
    def is_over_time(self) -> bool:
        """Whether it is asked over time, and not only for now."""
        return self.kind in (LINES, STATES)


def grown(counter: str, by: str) -> str:
    """How much a counter grew in `<span>`, by labels.

    `increase` does not see the value that a series begins with, which of the first requests of a
    key, say, is all there is. So it is added where the series was not there before.
    """
    there = f"0 * max_over_time({counter}[<span>])"
    added = f"(min_over_time({counter}[<span>]) unless {counter} offset <span>)"
    return f"sum by ({by}) ((increase({counter}[<span>]) or {there}) + ({added} or {there}))"


def per_second(counter: str, by: str = "") -> str:
    """How fast a counter grows."""
    return f"sum{f' by ({by})' if by else ''} (rate({counter}[<rate>]))"


def quantile(share: float, histogram: str, by: str = "", span: str = "<rate>") -> str:
    """Within which time this share of requests was answered."""
    labels = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}[{span}])))"


def percent(part: str, whole: str, span: str = "<rate>") -> str:
    """What percentage of the counter `whole` the counter `part` is, where there is any."""
    failed = f"(sum(rate({part}[{span}])) or vector(0))"
    return f"100 * {failed} / (sum(rate({whole}[{span}])) > 0)"


def filled(text: str, rate: str, span: str) -> str:
    """A query for one use of it."""
    return text.replace("<rate>", rate).replace("<span>", span)


def labelled(legend: str, labels: dict[str, str]) -> str:
    """A legend with a series' own labels."""
    return re.sub(r"{{(\w+)}}", lambda match: told(labels, match[1]), legend).strip() or NOBODY


def told(labels: dict[str, str], name: str) -> str:
    """A label; LiteLLM writes None where there is no team, say."""
    return labels.get(name, "").removesuffix("None")
