# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight finds in litellm_sites, with what else the inventory says."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.action.preflight import site_problems
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.variables import (
    argument_specs,
    value_problems,
)

NORTH = {"name": "north", "url": "https://north.example.internal"}
DECLARED = {
    "litellm_sites": [NORTH],
    "ollama_models": [{"name": "coder:1"}],
    "platform_public_name": "llm.example.internal",
    "ansible_play_hosts_all": ["app1"],
    "hostvars": {"app1": {"platform_address": "192.0.2.7"}},
}


def found(**changes):
    return [str(one) for one in site_problems({**DECLARED, **changes}, lambda value: value)]


def test_a_site_alone_and_one_that_names_another_are_good():
    assert site_problems({}, lambda value: value) == [] and found() == []


@pytest.mark.parametrize("place", ["llm.example.internal", "192.0.2.7", "app1"])
def test_this_site_is_known_by_its_name_and_by_its_hosts(place):
    (problem,) = found(litellm_sites=[{**NORTH, "url": f"https://{place}"}])
    assert "which is this site" in problem


def test_models_may_come_from_an_api_or_from_the_database():
    asked = [{**NORTH, "models": ["large"]}]
    assert found(litellm_sites=asked)
    assert found(litellm_sites=asked, litellm_custom_apis=[{"model_name": "large"}]) == []
    assert found(litellm_sites=asked, litellm_store_models=True) == []


def test_what_another_mistake_hides_is_left_to_that_one():
    assert found(litellm_sites=[{"nam": "north"}]) == found(litellm_sites=["north"]) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"nam": "x"}, "nam"), ({"url": None}, "url"), ({"key": ["sk-secret"]}, "key")],
)
def test_keys_of_a_site_are_those_that_the_role_documents(wrong, said):
    specs, _prefixes = argument_specs()
    value = [{**NORTH, **wrong}] if "url" not in wrong else [{"name": "north"}]
    problems = value_problems("litellm_sites", value, specs["litellm_sites"])
    if said == "key":  # any value is a text
        assert "sk-secret" not in str(problems)
        return
    (problem,) = problems
    assert said in problem.found
