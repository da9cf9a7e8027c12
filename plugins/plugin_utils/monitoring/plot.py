# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Plots as SVG. Pure.

A drawing is stretched to the width of the page, so all text stands beside it, as HTML.
"""

from __future__ import annotations

from datetime import UTC, datetime

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.page import escaped
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.units import text, top

WIDTH, HEIGHT = 1000, 100
# Marks of the time axis: at most this many, as far apart as one of these, in seconds.
MARKS = 5
APART = (60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
DAY = 86400


class Span:
    """The time that a page shows, and where each moment is."""

    def __init__(self, began: float, ended: float, step: int) -> None:
        self.began, self.ended, self.step = began, ended, step

    def x(self, at: float) -> float:
        return round((at - self.began) / (self.ended - self.began) * WIDTH, 1)

    def marks(self) -> str:
        """The times below a drawing."""
        length = self.ended - self.began
        apart = next((a for a in APART if length / a <= MARKS), length / MARKS)
        first = self.began - self.began % apart + apart
        times = [first + i * apart for i in range(MARKS + 1) if first + i * apart <= self.ended]
        return "".join(
            f'<span style="left:{self.x(at) / WIDTH:.1%}">{moment(at, apart)}</span>'
            for at in times
        )


def moment(at: float, apart: float = 0) -> str:
    """A time of the day, or the day where the marks are that far apart."""
    form = "%m-%d" if apart >= DAY else "%H:%M"
    return datetime.fromtimestamp(at, UTC).strftime(form)


def lines(panel: dict, span: Span) -> str:
    """Values over time: a drawing, its axes, and a key with the last and the largest value."""
    unit, drawn = panel["unit"], panel["lines"]
    peak = max(value for line in drawn for _at, value in line["points"])
    end = top(peak, unit)
    paths = "".join(_path(number, line["points"], span, end) for number, line in enumerate(drawn))
    if len(drawn) == 1:
        paths = _area(drawn[0]["points"], span, end) + paths
    labels = "".join(f"<span>{text(end * part, unit, end)}</span>" for part in (1, 0.5, 0))
    rules = "".join(f'<path class="rule" d="M0 {y}H{WIDTH}"/>' for y in (0.5, 50, 99.5))
    return (
        f'<div class="plot"><div class="ys">{labels}</div>{_svg(rules + paths, HEIGHT, panel)}'
        f'<div class="xs">{span.marks()}</div></div><ul class="key">{_key(panel)}</ul>'
    )


def states(panel: dict, span: Span) -> str:
    """Whether something was up, a strip for each."""
    good, bad = panel["words"]
    is_trouble = bad == "down"
    strips = ""
    for line in panel["lines"]:
        tone = "passed" if line["is_up"] else "failed" if is_trouble else "none"
        strips += (
            f'<li><span class="name">{escaped(line["legend"])}</span>'
            f'<span class="chip {tone}">{good if line["is_up"] else bad}</span>'
            f"{_svg(_strip(line['points'], span, is_trouble), 12, panel)}"
            f'<span class="share">{text(100 * line["share"], "percent")}</span></li>'
        )
    return f'<ul class="strips">{strips}</ul>'


def _svg(drawing: str, height: int, panel: dict) -> str:
    about = f'role="img" aria-label="{escaped(panel["title"])}"'
    return f'<svg viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" {about}>{drawing}</svg>'


def _path(number: int, points: list, span: Span, end: float) -> str:
    drawn = "".join(_piece(run, span, end) for run in _runs(points, span.step))
    return f'<path class="line c{number + 1}" d="{drawn}"/>'


def _piece(run: list, span: Span, end: float) -> str:
    places = [f"{span.x(at)} {_y(value, end)}" for at, value in run]
    return f"M{'L'.join(places)}" + ("h1" if len(run) == 1 else "")


def _area(points: list, span: Span, end: float) -> str:
    drawn = "".join(
        f"M{span.x(run[0][0])} {HEIGHT}"
        + "".join(f"L{span.x(at)} {_y(value, end)}" for at, value in run)
        + f"V{HEIGHT}Z"
        for run in _runs(points, span.step)
    )
    return f'<path class="area" d="{drawn}"/>'


def _y(value: float, end: float) -> float:
    return round(HEIGHT - 0.5 - min(max(value, 0), end) / end * (HEIGHT - 1), 1)


def _runs(points: list, step: int) -> list[list]:
    """The points in pieces without a gap."""
    runs: list[list] = []
    for point in points:
        if not runs or point[0] - runs[-1][-1][0] > 1.5 * step:
            runs.append([])
        runs[-1].append(point)
    return runs


def _strip(points: list, span: Span, is_trouble: bool) -> str:
    """Bars, one for each time without a change."""
    pieces: list[list] = []  # from, until, is up
    for at, value in points:
        is_up = value >= 1
        if pieces and pieces[-1][2] == is_up and at - pieces[-1][1] <= 1.5 * span.step:
            pieces[-1][1] = at
        else:
            pieces.append([at, at, is_up])
    tone = {True: "up", False: "down" if is_trouble else "off"}
    return f'<rect class="bare" width="{WIDTH}" height="12"/>' + "".join(
        f'<rect class="{tone[is_up]}" x="{max(span.x(since - span.step), 0)}" height="12" '
        f'width="{round(span.x(until) - max(span.x(since - span.step), 0), 1)}"/>'
        for since, until, is_up in pieces
    )


def _key(panel: dict) -> str:
    unit = panel["unit"]
    items = "".join(
        f'<li><i class="c{number + 1}"></i>{escaped(line["legend"])} '
        f"<b>{text(line['points'][-1][1], unit)}</b> "
        f"<small>at most {text(max(value for _at, value in line['points']), unit)}</small></li>"
        for number, line in enumerate(panel["lines"])
    )
    more = f'<li class="more">and {panel["left_out"]} more</li>' if panel["left_out"] else ""
    return items + more
