# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Numbers as people read them."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.units import text, top


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "count", "0"),
        (41.7, "count", "42"),
        (9999, "count", "9999"),
        (18_400_000, "count", "18.4 M"),
        (12, "rate", "12/s"),
        (0.05, "rate", "3/min"),
        (0.012, "seconds", "12 ms"),
        (59, "seconds", "59 s"),
        (2900, "seconds", "48.3 min"),
        (90000, "seconds", "25 h"),
        (0.0333, "percent", "0.03 %"),
        (99.96, "percent", "100 %"),
        (100, "percent", "100 %"),
        (3 * 2**30, "bytes", "3 GiB"),
        (7.4, "money", "7.40 $"),
        (0.00123, "money", "0.0012 $"),
        (None, "money", "-"),
    ],
)
def test_a_value_has_its_unit_and_as_many_digits_as_tell_something(value, unit, expected):
    assert text(value, unit) == expected


def test_labels_of_an_axis_have_one_scale():
    assert [text(value, "seconds", 1.0) for value in (1.0, 0.5)] == ["1 s", "0.5 s"]


@pytest.mark.parametrize(
    ("peak", "unit", "expected"),
    [
        *((0, "count", 1), (7, "count", 10), (10, "count", 10), (1100, "count", 2000)),
        *((0.4, "percent", 5), (31, "percent", 50), (51, "percent", 100), (130, "percent", 100)),
        *((0.0007, "seconds", 0.001), (29.4, "seconds", 50), (130, "seconds", 300)),
        *((23 * 2**30, "bytes", 50 * 2**30), (0.9, "rate", 1.6666)),
    ],
)
def test_an_axis_ends_at_a_round_number_of_its_unit(peak, unit, expected):
    assert top(peak, unit) == pytest.approx(expected, rel=0.001)
