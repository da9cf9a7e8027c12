# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What holds for every panel. Whether it has data is asked of a real Prometheus elsewhere."""

from __future__ import annotations

import re

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import panel, units
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels import BOARDS, PANELS

each_panel = pytest.mark.parametrize("name", PANELS)


def test_no_name_is_used_twice():
    assert len(PANELS) == sum(len(board.panels) for board in BOARDS)
    titles = [(board.name, p.title) for board in BOARDS for p in board.panels.values()]
    assert len(titles) == len(set(titles))


@each_panel
def test_what_names_a_row_or_a_line_is_a_label_of_its_query(name):
    shown = PANELS[name]
    for query in shown.queries:
        labels = {*shown.rows, *re.findall(r"{{(\w+)}}", query.legend)}
        by = {
            label
            for group in re.findall(r"by \(([^)]*)\)", query.expr)
            for label in group.split(", ")
        }
        by |= set(re.findall(r'"(\w+)", "\w+", "", ""', query.expr))
        assert labels <= by, query


@each_panel
def test_each_kind_has_what_it_needs(name):
    shown = PANELS[name]
    assert shown.kind in (panel.VALUE, panel.LINES, panel.TABLE, panel.STATES)
    assert {shown.unit, *(q.unit for q in shown.queries if q.unit)} <= set(units.SCALES)
    assert bool(shown.rows) == (shown.kind == panel.TABLE)
    if shown.kind != panel.VALUE:
        assert all(query.legend for query in shown.queries)
    else:
        assert len(shown.queries) == 1


@each_panel
def test_nothing_is_left_to_fill_in(name):
    for query in PANELS[name].queries:
        assert "<" not in re.sub("< Inf", "", panel.filled(query.expr, "1m", "1h"))


def test_what_nobody_belongs_to_has_a_name():
    assert panel.labelled("{{team}}", {"team": "None"}) == panel.NOBODY
    assert panel.labelled("{{a}} {{b}}", {"a": "x", "b": "y"}) == "x y"
