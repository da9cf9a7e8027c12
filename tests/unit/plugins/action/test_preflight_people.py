# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight finds in `teams` before a run: with what the inventory declares, as it is."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.action.preflight import people_problems

TEAM = {"name": "payments", "models": ["small"], "mcp": {"tickets": ["*"]}, "members": []}
DECLARED = {
    "teams": [TEAM],
    "litellm_keys": [{"key_alias": "first-developer"}],
    "ollama_models": [{"name": "small"}],
    "platform_mcp_servers": {"tickets": {}},
}


def found(**changes):
    return [str(p) for p in people_problems({**DECLARED, **changes}, lambda value: value)]


def test_what_is_declared_is_known():
    assert found() == [] and people_problems({}, lambda value: value) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"ollama_models": []}, "unknown model small"),
        ({"platform_mcp_servers": {}}, "unknown MCP server tickets"),
        ({"litellm_keys": [{"key_alias": ""}]}, "an alias in litellm_keys is ''"),
    ],
)
def test_what_is_not_is_found(changes, text):
    (problem,) = found(**changes)
    assert text in problem


def test_models_may_come_from_an_api_or_from_the_database():
    api = [{"model_name": "small", "model": "x", "api_base": "http://none"}]
    assert found(ollama_models=[], litellm_custom_apis=api) == []
    assert found(ollama_models=[], litellm_store_models=True) == []


def test_what_another_mistake_hides_is_left_to_that_one():
    assert found(ollama_models=[{"nam": "small"}]) == []
