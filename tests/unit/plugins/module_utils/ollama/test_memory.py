# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A model that does not fit is refused with every number, and with a setting that would fit."""

from __future__ import annotations

import re

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import memory

MIB = 1024 * 1024
SIZE = 92 * MIB
SHOWN = {
    "model_info": {
        "general.architecture": "llama",
        "llama.context_length": 8192,
        "llama.block_count": 30,
        "llama.attention.head_count": 9,
        "llama.attention.head_count_kv": 3,
        "llama.embedding_length": 576,
    }
}


def demand(context=8192, parallel=1, is_declared=True, size=SIZE, shown=SHOWN):
    return memory.demand("m:1", size, shown, context, parallel, is_declared)


def refusal(wanted, *limits):
    with pytest.raises(errors.NoSpace) as refused:
        memory.check(wanted, memory.Limits(*limits))
    return refused.value


def test_a_model_that_fits_takes_weights_and_cache():
    assert memory.check(demand(), memory.Limits(300)) == SIZE + 23040 * 8192
    assert memory.check(demand(), memory.Limits(300, 2048, 4096)) == SIZE + 23040 * 8192


def test_context_that_does_not_fit_is_refused_with_the_numbers_and_what_to_set():
    error = refusal(demand(parallel=2), 300)
    assert "452 MiB of memory: 92 MiB of weights and 360 MiB for 8192 tokens" in error.found
    assert "context x 2 at once (23040 bytes a token)" in error.found
    assert error.expected == "at most 300 MiB (ollama_memory_mb)"
    assert error.action == (
        "set context: 4096 for m:1 in ollama_models, or raise ollama_memory_mb to 452"
    )
    assert "declare a smaller model" in refusal(demand(), 90).action


def test_what_is_proposed_would_fit():
    error = refusal(demand(parallel=2), 300)
    context, limit = (int(number) for number in re.findall(r"\d{2,}", error.action))
    assert memory.check(demand(context, 2), memory.Limits(300))
    assert memory.check(demand(parallel=2), memory.Limits(limit))


def test_a_chat_model_without_a_context_is_told_that_it_gets_all():
    error = refusal(demand(65536, is_declared=False), 1024)
    assert "for 65536 tokens of context" in error.found
    assert "ollama_models names no context for it" in error.found
    assert "set context: 41984 for m:1 in ollama_models" in error.action
    assert "names no context" not in refusal(demand(65536), 1024).found


def test_the_prompt_cache_has_to_fit_into_the_host_beside_the_model():
    error = refusal(demand(), 6144, 2048, 2048)
    more = "; 2048 MiB more are for conversations that wait (ollama_prompt_cache_mb)"
    assert error.found.endswith(more)
    assert error.expected == "at most 2048 MiB together, the memory of this host"
    assert error.action.startswith("lower ollama_prompt_cache_mb to 888, or declare a smaller")
    assert memory.check(demand(), memory.Limits(6144, 888, 2048))
    roomy = refusal(demand(), 6144, 2048, 2300)
    assert "or set context: 7168 for m:1" in roomy.action
    assert memory.check(demand(7168), memory.Limits(6144, 2048, 2300))


def test_a_gpus_memory_is_not_compared():
    assert memory.check(demand(65536), memory.Limits(None, 2048, 1))


def test_a_header_that_does_not_tell_names_no_context():
    unknown = demand(shown={}, size=500 * MIB)
    assert "declare a smaller model" in refusal(unknown, 300).action
    assert "declare a smaller model" in refusal(unknown, 1000, 2048, 2100).action


def test_what_cannot_help_is_not_proposed():
    """A cache of nothing would not make room for a model that is larger than the host."""
    error = refusal(demand(parallel=4), 4096, 2048, 500)
    assert "ollama_prompt_cache_mb" not in error.action
    error = refusal(demand(), 4096, 2048, 500)
    assert error.action.startswith("lower ollama_prompt_cache_mb to 114, or ")


def test_only_what_writes_answers_keeps_conversations():
    assert memory.of_conversations({"capabilities": ["embedding"]}, 2048) == 0
    assert memory.of_conversations({"capabilities": ["completion", "tools"]}, 2048) == 2048
    assert memory.of_conversations({}, 2048) == 2048, "an Ollama that tells nothing"


def test_this_host_has_memory():
    assert 256 < memory.of_host() < 2**30
