# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tools that clients refuse or do not show."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import tools

GOOD = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {}}}}


@pytest.mark.parametrize(
    ("tool", "problem"),
    [
        (GOOD, None),
        ("echo", "it is not an object"),
        ({**GOOD, "name": ""}, "it has no name"),
        ({"name": "echo"}, "its inputSchema is missing"),
        ({**GOOD, "inputSchema": {}}, 'the type of its inputSchema is not "object"'),
        ({**GOOD, "title": 7}, "its title is of a wrong type"),
    ],
)
def test_one_bad_tool_costs_a_client_the_whole_list(tool, problem):
    assert list(tools.refused([tool]).values()) == ([problem] if problem else [])


def test_what_has_no_name_cannot_be_called():
    assert tools.usable([GOOD, "echo", {"name": None}]) == [GOOD]


def test_a_cli_hides_a_tool_for_a_name_that_another_takes():
    odd = {**GOOD, "inputSchema": {"type": "object", "properties": {"a b": {}}}}
    assert [found["client"] for found in tools.hidden([odd])] == ["Claude Code"]


def test_an_old_tuple_is_hidden_by_both_unless_its_dialect_is_old_too():
    schema = {"type": "object", "properties": {"a": {"items": [{}]}}}
    both = tools.hidden([{**GOOD, "inputSchema": schema}])
    assert [found["client"] for found in both] == ["Claude Code", "Codex"]
    old = {**schema, "$schema": "http://json-schema.org/draft-07/schema#"}
    assert [f["client"] for f in tools.hidden([{**GOOD, "inputSchema": old}])] == ["Codex"]


def test_many_problems_are_shortened():
    (verdict,) = tools.check_lists(["x"] * 12, [])
    assert verdict["found"].endswith("(and 2 more)")
