# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files of lines: NAME=value, and lines of a shell's start file."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.clients.settings_lines import Env, Line


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", "A=1\n"),
        ("B=2", "B=2\nA=1\n"),
        ("A=0\nB=2\n", "A=1\nB=2\n"),
        ("export A=0\n", "export A=1\n"),
        ("# A=0\nAA=3\n", "# A=0\nAA=3\nA=1\n"),
        ("A=x\nA=y\n", "A=x\nA=1\n"),
    ],
)
def test_a_variable_is_set_where_it_counts(text, after):
    assert Env.put(text, ("A",), "1") == after
    assert Env.get(after, ("A",)) == "1"


def test_a_variable_is_removed_with_its_line():
    assert Env.drop("B=2\nA=1\nC=3\n", ("A",)) == "B=2\nC=3\n"
    assert Env.drop("A=1", ("A",)) == ""


def test_a_line_is_there_once_or_not_at_all():
    assert Line.put("a\n", ("b",), True) == "a\nb\n"
    assert Line.get("a\nb\n", ("b",)) is True
    assert Line.get("a b\n", ("b",)) is None
    assert Line.drop("a\nb\nc\n", ("b",)) == "a\nc\n"
