# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A wrong value for Ollama is one problem among others: it keeps none of them from being found."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.action.preflight import leave_out_unreadable
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding

GOOD = {"url": "http://127.0.0.1:11434", "context_limit": 4096, "models": [{"name": "small"}]}


def test_what_the_module_can_read_is_left_as_it_is():
    for arguments in ({}, {"ollama": dict(GOOD)}, {"ollama": {**GOOD, "context_limit": "4096"}}):
        given = dict(arguments)
        assert leave_out_unreadable(given, []) == []
        assert given == arguments


def test_a_variable_that_is_reported_by_its_name_is_no_second_problem():
    arguments = {"ollama": {**GOOD, "context_limit": "many"}, "images": []}
    reported = Finding("inventory", "variable ollama_context_length: not an int", "int", "correct")
    assert leave_out_unreadable(arguments, [reported]) == []
    assert arguments == {"images": []}


def test_what_nothing_else_reports_is_named():
    arguments = {"ollama": {**GOOD, "models": [{"name": "small", "context": "wide"}]}}
    (problem,) = leave_out_unreadable(arguments, [Finding("inventory", "x", "y", "z")])
    assert "wide" in problem.found and problem.action == "correct it in the inventory"
    assert arguments == {}
