# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import threading

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import client as ollama


@pytest.fixture
def client(service):
    return ollama.OllamaClient(HttpClient(service.url, "Ollama", "ollama_url", timeout=5))


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


def lines(*messages: dict) -> list[bytes]:
    return [json.dumps(message).encode() + b"\n" for message in messages]


def watch(clock, free_bytes=None):
    reported: list[str] = []
    watching = ollama.PullWatch(60, reported.append, free_bytes, clock)
    return watching, reported


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("llama2", "llama2:latest"),
        ("smollm2:135m", "smollm2:135m"),
        ("library/qwen3:8b", "qwen3:8b"),
        ("registry.ollama.ai/library/qwen3", "qwen3:latest"),
        ("mirror:5000/team/m", "mirror:5000/team/m:latest"),
    ],
)
def test_names_are_compared_as_ollama_lists_them(given, canonical):
    assert ollama.canonical_name(given) == canonical


def test_registry_name_puts_library_models_into_their_namespace():
    assert ollama.registry_name("m:1", "mirror:5000") == "mirror:5000/library/m:1"
    assert ollama.registry_name("team/m:1", "mirror:5000/") == "mirror:5000/team/m:1"
    assert ollama.registry_name("m", None) == "m:latest"


def test_model_is_found_by_its_name_in_any_case(client, service):
    service.replies["GET", "/api/tags"] = 200, {"models": [{"name": "Qwen3:8B", "digest": "d"}]}
    assert client.find("qwen3:8b")["digest"] == "d"
    assert client.find("qwen3") is None


def test_error_inside_a_stream_that_began_with_200_is_raised(client, service, clock):
    service.replies["POST", "/api/pull"] = (
        200,
        lines(
            {"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}
        ),
    )
    with pytest.raises(errors.Unknown, match="check the model's name"):
        client.pull("m:1", False, watch(clock)[0])


def test_stream_that_ends_early_is_not_a_success(client, service, clock):
    service.replies["POST", "/api/pull"] = 200, lines({"status": "pulling manifest"})
    with pytest.raises(errors.Unreachable, match="pulling manifest"):
        client.pull("m:1", False, watch(clock)[0])


def test_silent_server_times_out_during_a_pull(client, service):
    released = threading.Event()

    def silent():
        yield from lines({"status": "pulling manifest"})
        released.wait(5)

    service.replies["POST", "/api/pull"] = 200, silent()
    with pytest.raises(errors.TimedOut):
        client.pull("m:1", False, ollama.PullWatch(0.2, lambda _line: None))
    released.set()


def test_lines_without_progress_count_as_a_stall(clock):
    watching, _reported = watch(clock)
    layer = {"status": "pulling abc", "digest": "sha256:abc", "total": 1000}
    watching.feed(layer)
    clock.now = 59
    watching.feed({**layer, "completed": 500})
    clock.now = 118
    watching.feed({**layer, "completed": 500})
    clock.now = 119
    with pytest.raises(errors.Stalled, match="60 s"):
        watching.feed({**layer, "completed": 500})
    assert watching.has_moved


def test_checksums_may_be_made_in_silence(clock):
    watching, _reported = watch(clock)
    assert watching.allowed_silence("pulling abc") == 60
    assert watching.allowed_silence("verifying sha256 digest") == ollama.SILENT_PHASE_SECONDS


def test_progress_is_reported_now_and_then(clock):
    watching, reported = watch(clock)
    layer = {"status": "pulling abc", "digest": "sha256:abc", "total": 100_000_000}
    for second in range(12):
        clock.now = second
        watching.feed({**layer, "completed": (second + 1) * 5_000_000})
    watching.feed({"status": "success"})
    assert reported == [
        "pull: pulling abc: 5 % of 100 MB",
        "pull: pulling abc: 30 % of 100 MB",
        "pull: pulling abc: 55 % of 100 MB",
        "pull: success",
    ]


def test_layer_that_does_not_fit_is_refused_before_it_is_fetched(clock):
    watching, _reported = watch(clock, free_bytes=500)
    layer = {"status": "pulling abc", "digest": "sha256:abc", "total": 1000}
    watching.feed({"status": "pulling def", "digest": "sha256:def", "total": 400})
    with pytest.raises(errors.NoSpace, match="free or add disk space"):
        watching.feed(layer)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("write /models/x: no space left on device", errors.NoSpace),
        ('Get "https://r/v2/": dial tcp: lookup r: no such host', errors.Unreachable),
        ("tls: failed to verify certificate: x509: unknown authority", errors.Unreachable),
        ("pull model manifest: file does not exist", errors.Unknown),
        ("unauthorized: access denied", errors.Unauthorized),
        ("digest mismatch, file must be downloaded again", errors.Mismatch),
        ("template error: unexpected EOF", errors.Refused),
    ],
)
def test_ollamas_words_become_errors_with_a_next_step(message, error):
    explained = ollama.explain(message, "m")
    assert type(explained) is error
    assert message in str(explained)
    assert explained.action


def test_other_service_at_the_address_is_named(client, service):
    service.replies["GET", "/api/tags"] = 404, b"<html>nginx</html>"
    with pytest.raises(errors.Unexpected, match="ollama_url"):
        client.models()


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


@pytest.mark.parametrize(
    ("shown", "declared", "limit", "context"),
    [
        (SHOWN, None, None, 8192),
        (SHOWN, None, 65536, 8192),
        (SHOWN, None, 2048, 2048),
        (SHOWN, 4096, 2048, 4096),
        ({**SHOWN, "parameters": "num_ctx  1024"}, None, 2048, 1024),
        ({**SHOWN, "parameters": "num_ctx  1024"}, 512, 2048, 512),
        ({}, None, 4096, 4096),
        ({}, None, None, 0),
    ],
)
def test_context_is_what_is_declared_or_what_the_model_can_up_to_the_limit(
    shown, declared, limit, context
):
    assert ollama.context_of("m", shown, declared, limit) == context


def test_more_context_than_the_weights_were_trained_for_is_refused_with_both_numbers():
    with pytest.raises(errors.Refused, match=r"16384.*8192"):
        ollama.context_of("m", SHOWN, 16384, None)


def test_cache_is_computed_from_the_header():
    # 30 layers x 3 heads x (64 of keys + 64 of values) x 2 bytes
    assert ollama.cache_bytes(SHOWN) == 23040
    wider = {"llama.attention.key_length": 128, "llama.attention.value_length": 128}
    assert ollama.cache_bytes({"model_info": {**SHOWN["model_info"], **wider}}) == 46080
    mixed = {"llama.attention.head_count_kv": [0, 3, 3]}  # layers without attention keep none
    assert ollama.cache_bytes({"model_info": {**SHOWN["model_info"], **mixed}}) == 1536
    assert ollama.cache_bytes({}) == 0
