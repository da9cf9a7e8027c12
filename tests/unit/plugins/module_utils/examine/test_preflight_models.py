# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import struct

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import preflight_models

HEADER = {
    "llama.context_length": 8192,
    "llama.block_count": 30,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "llama.embedding_length": 576,
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


@pytest.fixture
def weights(tmp_path):
    """A GGUF file with nothing but a header."""
    values = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    values += [text(key) + struct.pack("<II", 4, number) for key, number in HEADER.items()]
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(values)) + b"".join(values))
    return str(path)


@pytest.fixture
def found(service):
    def ask(memory_mb, url=service.url, **model):
        model = {"name": "m:1", "context": None, "weights": None, **model}
        limits = {"memory_mb": memory_mb, "prompt_cache_mb": 64, "context_limit": 65536}
        wanted = {"url": url, "parallel": 1, **limits}
        return preflight_models.problems({**wanted, "models": [model]})

    return ask


def test_weights_on_the_host_are_judged_before_there_is_an_ollama(found, weights, closed_port):
    assert found(200, closed_port, weights=weights) == []
    (problem,) = found(100, closed_port, weights=weights)
    assert problem.check == "memory" and "8192 tokens of context" in problem.found
    (problem,) = found(1000, closed_port, weights=weights, context=65536)  # stretched
    assert "1440 MiB for 65536 tokens" in problem.found


def test_a_model_that_ollama_has_is_judged_by_what_it_says(found, service):
    shown = {"model_info": {"general.architecture": "llama", **HEADER}}
    service.replies["GET", "/api/tags"] = 200, {"models": [{"name": "m:1", "size": 98_000_000}]}
    service.replies["POST", "/api/show"] = 200, shown
    assert found(300) == []
    (problem,) = found(200)
    assert "ollama_memory_mb" in problem.expected and "context: 4096" in problem.action
    (problem,) = found(300, context=16384)
    assert "16384 is declared" in problem.found


def test_the_prompt_cache_is_part_of_what_the_host_must_have(found, weights, monkeypatch):
    monkeypatch.setattr(preflight_models.memory, "of_host", lambda: 256)
    assert found(200, weights=weights) == []
    monkeypatch.setattr(preflight_models.memory, "of_host", lambda: 240)
    (problem,) = found(200, weights=weights)
    assert "64 MiB more are for conversations that wait" in problem.found
    assert "240 MiB together" in problem.expected
    assert "lower ollama_prompt_cache_mb to 29" in problem.action


def test_what_is_not_there_yet_is_judged_later(found, service, closed_port, tmp_path):
    service.replies["GET", "/api/tags"] = 200, {"models": []}
    assert found(1) == []
    assert found(1, closed_port) == []
    assert found(1, weights=str(tmp_path / "none.gguf")) == []
