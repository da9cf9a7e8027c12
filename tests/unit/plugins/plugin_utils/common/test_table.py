# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tables for a terminal, whoever chose what stands in them."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.table import aligned


def test_columns_begin_below_one_another_where_characters_are_wide():
    assert aligned([("支付", "1"), ("search", "2"), ("张三丰", "3")]) == [
        "支付    1",
        "search  2",
        "张三丰  3",
    ]


def test_a_name_moves_no_cursor_and_begins_no_row():
    lines = aligned(
        [("\x1b[2J\x1b]0;owned\x07", "1"), ("a\nall  0 people", "\u202e2"), ("b\r", "3")]
    )
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_what_is_aligned_to_the_right_stays_so():
    assert aligned([("a", "   1"), ("b", "1234")]) == ["a     1", "b  1234"]
