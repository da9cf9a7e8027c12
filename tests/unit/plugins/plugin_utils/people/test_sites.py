# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What LiteLLM, verify and preflight are told of other sites."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import models, sites

NORTH = {"name": "north", "url": "https://north.example.internal/"}
EAST = {"name": "east", "url": "https://east.example.internal:8443", "models": ["large"]}
OLLAMA = [
    {"name": "coder:1", "price": {"input": 1, "output": 2}},
    {"name": "gone", "state": "absent"},
]
APIS = [{"model_name": "large", "model": "l", "api_base": "http://l", "capabilities": ["tools"]}]
KNOWN = models.declared_models(OLLAMA, APIS, {}, 8192)


def deployed(*others):
    return sites.deployments(list(others), KNOWN, OLLAMA + APIS)


def found(*others, own=("llm.example.internal", "192.0.2.7"), names=("coder:1", "large")):
    told = None if names is None else list(names)
    return [str(problem) for problem in sites.problems(list(others), set(own), told)]


def test_each_model_of_this_site_is_one_of_each_other_site_after_its_own():
    listed = [(one["model_name"], one["model_info"]["site"]) for one in deployed(NORTH, EAST)]
    assert listed == [("coder:1", "north"), ("large", "north"), ("large", "east")]
    assert {one["litellm_params"]["order"] for one in deployed(NORTH, EAST)} == {sites.ELSEWHERE}
    assert sites.ELSEWHERE > sites.HERE


def test_a_request_to_another_site_says_that_it_is_not_to_be_sent_on():
    for one in deployed(NORTH, EAST):
        assert one["litellm_params"]["extra_body"] == {"disable_fallbacks": True}


def test_each_site_is_asked_at_its_address_with_its_key():
    asked = {
        (one["litellm_params"]["api_base"], one["litellm_params"]["api_key"])
        for one in deployed(NORTH, EAST)
    }
    assert asked == {
        ("https://north.example.internal/v1", "os.environ/SITE_KEY_1"),
        ("https://east.example.internal:8443/v1", "os.environ/SITE_KEY_2"),
    }


def test_what_another_site_answers_costs_and_can_what_it_does_here():
    coder, large = deployed(NORTH)
    assert coder["model_info"]["output_cost_per_token"] == 2 / 1_000_000
    assert coder["model_info"]["max_output_tokens"] == 8192
    assert "input_cost_per_token" not in large["model_info"]
    assert "thinking" in large["litellm_params"]["additional_drop_params"]


def test_what_costs_nothing_here_costs_nothing_there_whatever_that_site_says():
    """LiteLLM believes an answer's headers where it has no price, and at zero asks no budget."""
    (here,) = models.declared_models([{"name": "free"}], [], {}, 8192)
    (free,) = sites.deployments([NORTH], [here], [{"name": "free"}])
    for kind in ("input", "output"):
        assert 0 < free["model_info"][f"{kind}_cost_per_token"] < 1e-15
        read = yaml.safe_load(json.dumps(free["model_info"]))[f"{kind}_cost_per_token"]
        assert isinstance(read, float), "YAML reads an exponent without a point as text"


def test_a_site_without_a_key_of_its_own_is_shown_the_one_that_all_have():
    known = sites.keys([NORTH, {**EAST, "key": "sk-east"}], "sk-all")
    assert known == {"site-north": "sk-all", "site-east": "sk-east"}


def test_each_key_is_in_the_variable_that_the_sites_deployments_name():
    both = [NORTH, {**EAST, "key": "sk-east"}]
    told = sites.key_variables(sites.keys(both, "sk-all"))
    assert told == {"SITE_KEY_1": "sk-all", "SITE_KEY_2": "sk-east"}
    named = {one["litellm_params"]["api_key"] for one in deployed(*both)}
    assert named == {f"os.environ/{name}" for name in told}


def test_verify_asks_each_site_for_the_models_that_it_is_to_have():
    north, east = sites.asked([NORTH, EAST], ["coder:1", "large"])
    assert (north["url"], north["models"]) == (
        "https://north.example.internal",
        ["coder:1", "large"],
    )
    assert (east["key"], east["models"]) == ("site-east", ["large"])


def test_sites_that_name_each_other_are_good():
    assert found() == found(NORTH, EAST) == []


@pytest.mark.parametrize(
    "url",
    [
        *("http://north.example.internal", "north.example.internal", "https://", "https://x:port"),
        *("https://x/v1", "https://x/v1/", "https://x/?a=b", "https://user@x", 4, None),
    ],
)
def test_keys_and_prompts_go_nowhere_without_tls(url):
    (problem,) = found({**NORTH, "url": url})
    assert f"north has the url {url!r}" in problem and "https://" in problem


@pytest.mark.parametrize("place", ["llm.example.internal", "LLM.example.internal:443", "192.0.2.7"])
def test_a_site_does_not_ask_itself(place):
    (problem,) = found({**NORTH, "url": f"https://{place}"})
    assert "which is this site" in problem


@pytest.mark.parametrize("key", ["name", "url"])
def test_each_site_is_named_once(key):
    (problem,) = found(NORTH, {**EAST, key: NORTH[key]})
    assert f"has the {key} {NORTH[key]} twice" in problem


def test_a_model_that_this_site_lacks_has_nothing_to_fall_back_from():
    (problem,) = found({**NORTH, "models": ["larger"]})
    assert "asked for larger" in problem and "litellm_custom_apis" in problem
    assert found({**NORTH, "models": ["larger"]}, names=None) == [], "it may be in the database"
