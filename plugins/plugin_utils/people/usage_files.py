# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The usage of a month as lines for a terminal, as CSV for accounting, as one page. Pure."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.page import (
    Page,
    cut,
    escaped,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.table import aligned, width
from ansible_collections.intranet.mcp.plugins.plugin_utils.people.usage import COUNTED, teams, total

TOOL_COLUMNS = ("team", "person", "server", "tool", "calls", "failed", "refused")
# A page for people; the rest is in the CSV.
MAX_SHOWN = 500
# Of a team's name in that of a file, which may have 255 bytes.
MAX_NAME = 60
# Where a spreadsheet looks for a formula: at the beginning of a cell, and behind whatever it takes
# for the end of one, which is the semicolon in half of the world. Full-width signs begin one, too.
_FORMULA = re.compile(r"(^|[;,\t\r\n])(\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")

Row = dict[str, Any]


def file_name(month: str, team: str) -> str:
    """What the report's files are called, without extension; teams may have names of any script.

    No two have one name: what was replaced or cut off is told apart by a hash, as is a name that
    ends like the file of tools.
    """
    if not team:
        return f"usage-{month}"
    kept = re.sub(r"[^\w.-]", "_", team)[:MAX_NAME]
    if kept != team or kept.endswith("tools"):
        kept += f"-{hashlib.sha256(team.encode()).hexdigest()[:8]}"
    return f"usage-{month}-{kept}"


# --- terminal -----------------------------------------------------------------------------------


def table(found: Row) -> list[str]:
    """The report as lines for a terminal: people by team, and all together."""
    heading = ("team", "person", "requests", "tokens in", "tokens out", "cost", "tool calls")
    people = found["people"]
    lines = [_line(row["team"], row["person"], row) for row in people]
    lines.append(_line("all", f"{len(people)} people", total(people)))
    widths = [max(width(line[n]) for line in [heading, *lines]) for n in range(len(heading))]
    padded = [
        tuple(cell if n < 2 else cell.rjust(widths[n]) for n, cell in enumerate(line))
        for line in [heading, *lines]
    ]
    return [f"usage of {found['month']}", "", *aligned(padded), "", *found["notes"]]


def _line(team: str, person: str, row: Row) -> tuple[str, ...]:
    numbers = ("requests", "input_tokens", "output_tokens")
    shown = [f"{row[name]:,}" for name in numbers]
    return (cut(team, 30), cut(person, 40), *shown, _money(row["cost"]), f"{row['tool_calls']:,}")


def _money(dollars: float) -> str:
    return f"${dollars:,.2f}"


# --- CSV ----------------------------------------------------------------------------------------


def people_csv(found: Row) -> str:
    """A line a person and team."""
    columns = ("team", "person", "email", *COUNTED)
    return _csv(found["month"], columns, found["people"])


def tools_csv(found: Row) -> str:
    """A line a person and tool."""
    return _csv(found["month"], TOOL_COLUMNS, found["tools"])


def _csv(month: str, columns: tuple[str, ...], rows: Iterable[Row]) -> str:
    text = io.StringIO()
    text.write("\ufeff")  # or Excel takes names in Chinese for another encoding
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(("month", *columns))
    for row in rows:
        writer.writerow((month, *(_cell(row[name]) for name in columns)))
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Clients choose names of tools and callers; a spreadsheet must not take one for a formula."""
    if isinstance(value, float):
        return f"{value:.6f}"
    return _FORMULA.sub(r"\1\2'", value) if isinstance(value, str) else value


# --- page ---------------------------------------------------------------------------------------


def page(found: Row) -> str:
    """The report as one page."""
    whose = f" of {found['team']}" if found["team"] else ""
    file = file_name(found["month"], found["team"])
    body = [
        _tiles(found["people"]),
        _notes(found["notes"]),
        _table("Teams", ("Team", "People", *_NUMBERS), _cells(teams(found), "team", "people")),
        _table("People", ("Person", "Team", *_NUMBERS), _cells(found["people"], "person", "team")),
        _table("Tools", ("Tool", "Server", "People", *_CALLS), _tools(found["tools"])),
    ]
    return Page(
        title=f"Usage{whose} in {found['month']}",
        where=found["platform"],
        when=f"made on {found['at'][:16].replace('T', ' ')} UTC, days are UTC",
        tone="unsure" if found["notes"] else "good",
        body="".join(body),
        footer=f"intranet.mcp · {file}.csv has the same numbers, "
        f"{file}-tools.csv each person's calls of tools · "
        "cost in US dollars, of models with a price",
        style=_STYLE,
    ).render()


_NUMBERS = ("Requests", "Failed", "Tokens in", "Tokens out", "Cost", "Tool calls")
_CALLS = ("Calls", "Failed", "Refused")


def _tiles(people: list[Row]) -> str:
    sums = total(people)
    shown = {
        "cost": _money(sums["cost"]),
        "tokens": f"{sums['input_tokens'] + sums['output_tokens']:,}",
        "requests": f"{sums['requests']:,}",
        "tool calls": f"{sums['tool_calls']:,}",
        "people": f"{len({row['person'] for row in people}):,}",
    }
    items = "".join(f"<li><b>{value}</b> {name}</li>" for name, value in shown.items())
    return f'<ul class="tiles">{items}</ul>\n'


def _notes(notes: list[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escaped(note)}</li>" for note in notes)
    return f'<section class="notes"><ul>{items}</ul></section>\n'


def _cells(rows: list[Row], first: str, second: str) -> list[tuple[str, ...]]:
    """Cells of teams or people, those who used most first, with a bar for their share."""
    ordered = sorted(rows, key=_weight, reverse=True)
    names = ("requests", "failed_requests", "input_tokens", "output_tokens")
    return [
        (
            escaped(row[first]) + _bar(_weight(row), _weight(ordered[0])),
            escaped(row[second]),
            *(f"{row[name]:,}" for name in names),
            _money(row["cost"]),
            f"{row['tool_calls']:,}",
        )
        for row in ordered
    ]


def _weight(row: Row) -> tuple[float, int]:
    """Cost; of models without a price, tokens tell."""
    return row["cost"], row["input_tokens"] + row["output_tokens"]


def _bar(own: tuple[float, int], most: tuple[float, int]) -> str:
    share = own[0] / most[0] if most[0] else own[1] / (most[1] or 1)
    return f'<i style="width:{max(1, round(100 * share))}%"></i>'


def _tools(tools: list[Row]) -> list[tuple[str, ...]]:
    """Cells of tools, those called most first."""
    found: dict[tuple[str, str], Row] = {}
    for row in tools:
        start = {"people": set(), "calls": 0, "failed": 0, "refused": 0}
        sums = found.setdefault((row["tool"], row["server"]), start)
        sums["people"].add(row["person"])
        for name in ("calls", "failed", "refused"):
            sums[name] += row[name]
    ordered = sorted(found.items(), key=lambda item: -item[1]["calls"])
    most = max(ordered[0][1]["calls"], 1) if ordered else 1
    return [
        (
            escaped(tool) + _bar((row["calls"], 0), (most, 0)),
            escaped(server),
            f"{len(row['people']):,}",
            *(f"{row[name]:,}" for name in ("calls", "failed", "refused")),
        )
        for (tool, server), row in ordered
    ]


def _table(title: str, headings: tuple[str, ...], cells: list[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in headings)
    rows = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in cells[:MAX_SHOWN]
    )
    left = len(cells) - MAX_SHOWN
    more = f'<p class="more">{left:,} more are in the CSV file.</p>' if left > 0 else ""
    return (
        f'<section><h2>{title} <small>{len(cells):,}</small></h2><div class="wide"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}</section>\n"
    )


_STYLE = """
.tiles{display:flex;flex-wrap:wrap;gap:8px;margin:22px 0;padding:0;list-style:none}
.tiles li{padding:5px 14px;border:1px solid var(--line);border-radius:999px;background:var(--card)}
.tiles b{font-size:17px;font-variant-numeric:tabular-nums}
.notes{color:var(--unsure);background:var(--unsure-bg)}
.notes ul{margin:0;padding:12px 16px 12px 34px}
.wide{overflow-x:auto}
table{min-width:760px}
thead th:first-child{width:26%}
th:nth-child(n+3),td:nth-child(n+3){text-align:right;font-variant-numeric:tabular-nums}
tbody th i{display:block;height:3px;margin:4px 0 0;border-radius:2px;background:var(--bar)}
.more{margin:0;padding:8px 16px;color:var(--soft);border-top:1px solid var(--line)}
"""
