# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The page of `make status`, and what is drawn on it."""

from __future__ import annotations

import html.parser
import re

import measured_day
import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import (
    plot,
    status,
    status_page,
)

NASTY = '</svg><script>alert("x")</script>'
SPAN = plot.Span(0, 1000, 10)


class Page(html.parser.HTMLParser):
    """Collects tags and text, and notices what does not close."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def measured():
    return measured_day.measured()


def page(measured):
    return status_page.page(status.report(measured, "local", measured_day.HOURS))


def panel(*lines, **more):
    drawn = [{"legend": f"line {n}", "points": points} for n, points in enumerate(lines)]
    return {"title": "T", "unit": "count", "lines": drawn, "left_out": 0, **more}


def test_the_page_is_whole_and_needs_nothing_else(measured):
    text = page(measured)
    tags = {tag for tag, _attributes in Page(text).tags}
    assert "svg" in tags and not tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"url\(|@import|https?://|src=", text)
    assert "prefers-color-scheme:dark" in text
    assert len(text) < 400_000


def test_alerts_are_the_verdict_and_come_first(measured):
    text = page(measured)
    assert '<header class="bad">' in text and "<h1>1 alert firing</h1>" in text
    texts = Page(text).texts
    assert texts.index("Alerts") < texts.index("Entry points")
    measured["alerts"][0]["labels"]["severity"] = "warning"
    assert '<header class="unsure">' in page(measured)
    measured["alerts"] = [measured_day.WATCHDOG]
    assert '<header class="good">' in page(measured)
    measured["alerts"] = []
    assert '<header class="unsure">' in page(measured)


def test_names_of_tools_teams_and_keys_cannot_become_markup(measured):
    measured["answers"]["tools.0"][0]["labels"]["tool"] = NASTY
    measured["answers"]["people.0"][0]["labels"]["api_key_alias"] = NASTY
    measured["answers"]["cpu.0"][0]["labels"]["host"] = NASTY
    measured["answers"]["tool_servers.0"][0]["labels"]["server"] = NASTY
    text = page(measured)
    assert "<script" not in text and text.count("&lt;script&gt;") >= 4
    Page(text)


def test_a_gap_in_what_was_measured_is_a_gap_in_the_line():
    drawn = plot.lines(panel([[0, 1], [10, 1], [500, 1], [510, 1]]), SPAN)
    line = re.search(r'class="line c1" d="([^"]*)"', drawn)[1]
    assert line.count("M") == 2 and line.startswith("M0.0 ")


def test_a_single_point_can_be_seen():
    line = re.search(r'class="line c1" d="([^"]*)"', plot.lines(panel([[500, 3]]), SPAN))[1]
    assert line == "M500.0 40.1h1"


def test_no_line_leaves_the_drawing():
    drawn = plot.lines(panel([[0, -4], [10, 250]], unit="percent"), SPAN)
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", drawn)]
    assert max(heights) <= plot.HEIGHT and min(heights) >= 0


@pytest.mark.parametrize("hours", [1, 6, 24, 24 * 7, 24 * 31])
def test_the_time_axis_has_a_few_marks_within_it(hours):
    span = plot.Span(1_795_906_800, 1_795_906_800 + hours * 3600, 60)
    places = [float(p) for p in re.findall(r"left:([\d.]+)%", span.marks())]
    assert 2 <= len(places) <= plot.MARKS + 1 and places == sorted(places)
    assert places[0] >= 0 and places[-1] <= 100


def test_a_strip_has_a_bar_for_each_change_and_says_in_words_what_is_now():
    points = [[at, 0 if 400 < at < 600 else 1] for at in range(0, 1001, 10)]
    lines = {**panel(points), "words": ("up", "down")}
    lines["lines"][0].update(share=0.81, is_up=True)
    drawn = plot.states(lines, SPAN)
    assert re.findall(r'rect class="(\w+)"', drawn) == ["bare", "up", "down", "up"]
    assert '<span class="chip passed">up</span>' in drawn and "81 %" in drawn
    lines["words"] = ("loaded", "not loaded")
    lines["lines"][0]["is_up"] = False
    drawn = plot.states(lines, SPAN)
    assert "down" not in drawn and '<span class="chip none">not loaded</span>' in drawn
