# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import models

CHAT = {"capabilities": ["completion", "tools"], "context": 8192}
THINKER = {"capabilities": ["completion", "thinking", "tools"], "context": 65536}


def one(ollama=(), apis=(), known=None):
    (found,) = models.declared_models(list(ollama), list(apis), known or {}, 8192)
    return found


def test_facts_leave_out_models_that_are_to_go_and_hosts_that_were_not_asked():
    declared = [{"name": "a"}, {"name": "b", "state": "absent"}, {"name": "c"}]
    results = [{**CHAT, "digest": "1"}, {"capabilities": [], "context": 0}, {"skipped": True}]
    assert models.facts(declared, results) == {"a": CHAT}


def test_several_ollamas_promise_what_all_of_them_do():
    """The same name may have been pulled at different times."""
    merged = models.facts_of_all([{"m": THINKER, "only": CHAT}, {"m": CHAT}])
    assert merged == {"m": CHAT, "only": CHAT}


def test_parameters_of_thinking_are_dropped_for_a_model_that_cannot_think():
    model = one([{"name": "m"}], known={"m": CHAT})
    dropped = models.dropped_parameters(model)
    assert "reasoning_effort" in dropped and "tools" not in dropped


def test_a_model_that_thinks_keeps_its_parameters():
    assert models.dropped_parameters(one([{"name": "m"}], known={"m": THINKER})) == []


def test_tools_are_dropped_for_a_model_without_them():
    known = {"m": {"capabilities": ["completion"], "context": 8192}}
    assert "tools" in models.dropped_parameters(one([{"name": "m"}], known=known))


def test_nothing_is_dropped_where_nobody_said_what_the_model_can():
    assert models.dropped_parameters(one([{"name": "m"}])) == []
    api = {"model_name": "large", "model": "l", "api_base": "http://x"}
    assert models.dropped_parameters(one(apis=[api])) == []
    assert "thinking" in models.dropped_parameters(one(apis=[{**api, "capabilities": ["tools"]}]))


def test_a_longest_answer_leaves_half_of_the_context_to_the_prompt():
    assert one([{"name": "m"}], known={"m": CHAT})["max_output"] == 4096
    assert one([{"name": "m"}], known={"m": THINKER})["max_output"] == 8192
    assert one([{"name": "m", "max_tokens": 512}], known={"m": CHAT})["max_output"] == 512


def test_deployments_of_one_name_are_narrowed_to_what_all_take():
    api = {"model_name": "large", "context": 131072, "max_output": 4000}
    other = {"model_name": "large", "context": 32768, "capabilities": ["tools"]}
    found = one(apis=[api, other, {"model_name": "large"}])
    assert (found["context"], found["max_output"]) == (32768, 4000)
    assert found["capabilities"] == ["tools"]


def test_litellm_is_told_sizes_and_capabilities_that_are_known():
    model = one([{"name": "m"}], known={"m": CHAT})
    assert models.litellm_model_info(model, "ollama_chat") == {
        "mode": "chat",
        "litellm_provider": "ollama_chat",
        "allowed_fails": 0,
        "max_input_tokens": 8192,
        "max_output_tokens": 4096,
        "supports_function_calling": True,
        "supports_vision": False,
        "supports_reasoning": False,
    }
    unknown = one(apis=[{"model_name": "large"}])
    assert "max_input_tokens" not in models.litellm_model_info(unknown, "openai")


def test_a_price_is_told_for_each_token():
    model = one([{"name": "m"}])
    info = models.litellm_model_info(model, "ollama_chat", {"input": 0.5, "output": "10"})
    assert info["input_cost_per_token"] == pytest.approx(5e-7)
    assert info["output_cost_per_token"] == pytest.approx(1e-5)
    assert "input_cost_per_token" not in models.litellm_model_info(model, "ollama_chat")


def test_only_names_that_googles_paths_cannot_have_get_an_alias():
    assert models.gemini_aliases(["qwen3:8b", "plain", "qwen3:8b"]) == {
        "qwen3-8b": {"model": "qwen3:8b", "hidden": True}
    }


def test_each_worker_on_each_host_has_a_pool():
    assert models.litellm_connections(["app1", "app2"], 2, "10") == 40
    assert models.litellm_connections([], 2, 10) == 0


def test_keys_are_numbered_as_entries_are_and_missing_ones_left_out():
    one, two = {"model_name": "m", "api_key": "1"}, {"model_name": "m", "api_key": "2"}
    without, empty = {"model_name": "m"}, {"model_name": "m", "api_key": ""}
    found = models.api_keys([one, without, empty, two])
    assert found == {"API_KEY_1": "1", "API_KEY_4": "2"}
    assert models.api_keys([]) == {}
