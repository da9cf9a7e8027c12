# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest

KEY = "sk-right"
MODEL = {"name": "m"}


def only_with_key(reply):
    def answer(exchange):
        if exchange.headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"error": "no"}
        return reply(exchange)

    return answer


def events(*payloads):
    return [b"data: " + payload.encode() + b"\n\n" for payload in payloads]


def delta(**content):
    return json.dumps({"choices": [{"delta": content}]})


def call_piece(name=None, arguments=""):
    return delta(tool_calls=[{"index": 0, "function": {"name": name, "arguments": arguments}}])


def chat(exchange):
    body = exchange.json()
    if not body.get("stream"):
        return 200, {"choices": [{"message": {"content": "Hello"}}]}
    if "tools" in body:
        pieces = [
            call_piece("get_weather"),
            call_piece(arguments='{"ci'),
            call_piece(arguments='ty":"Paris"}'),
        ]
        return 200, events(*pieces, "[DONE]")
    return 200, events(delta(content="Hel"), delta(content="lo"), "[DONE]")


@pytest.fixture
def run(run_module, service):
    service.replies.update(
        {
            ("GET", "/v1/models"): only_with_key(lambda _e: (200, {"data": [{"id": "m"}]})),
            ("POST", "/v1/chat/completions"): only_with_key(chat),
            ("POST", "/v1/embeddings"): only_with_key(
                lambda _e: (200, {"data": [{"embedding": [0.1, 0.2]}]})
            ),
        }
    )

    def run(**options):
        return run_module(
            "llm_health", **{"url": service.url, "api_key": KEY, "models": [MODEL], **options}
        )

    return run


def statuses(result):
    return {check["name"]: check["status"] for check in result["checks"]}


def test_a_working_api_passes_every_check(run):
    result = run(models=[MODEL, {"name": "m", "checks": ["embedding"]}])
    assert not result["failed"] and not result["changed"]
    assert set(statuses(result).values()) == {"passed"}
    assert set(statuses(result)) == {"models", "chat", "stream", "tool_call", "embedding", "denied"}


def test_a_tool_call_is_put_together_from_its_pieces(run):
    check = next(c for c in run()["checks"] if c["name"] == "tool_call")
    assert check["found"] == 'get_weather({"city":"Paris"})'
    assert check["first_ms"] > 0


def test_a_stream_that_never_ends_fails(run, service):
    service.replies["POST", "/v1/chat/completions"] = lambda _e: (200, events(delta(content="Hel")))
    result = run(models=[{"name": "m", "checks": ["stream"]}], required=False)
    assert statuses(result)["stream"] == "failed"
    assert "never ended" in result["checks"][0]["found"]


def test_text_instead_of_a_tool_call_fails_with_the_remedy(run, service):
    service.replies["POST", "/v1/chat/completions"] = lambda _e: (
        200,
        events(delta(content="Sunny"), "[DONE]"),
    )
    (check, _denied) = run(models=[{"name": "m", "checks": ["tool_call"]}], required=False)[
        "checks"
    ]
    assert (check["status"], check["found"]) == ("failed", "no tool call")
    assert "ollama_chat/" in check["action"]


def test_an_api_that_lets_everybody_in_fails(run, service):
    service.replies["GET", "/v1/models"] = (200, {"data": [{"id": "m"}]})
    result = run(models=[])
    assert result["failed"]
    assert "found 200 and 200" in result["msg"]


def test_a_model_that_is_not_listed_fails_and_names_the_listed_ones(run):
    result = run(models=[{"name": "other", "checks": ["models"]}])
    assert result["failed"]
    assert "found m, expected other among the models" in result["msg"]


def test_a_failure_without_required_is_reported_only(run):
    assert not run(models=[{"name": "other", "checks": ["models"]}], required=False)["failed"]


def test_an_api_that_is_away_is_a_failed_check(run, closed_port):
    result = run(url=closed_port)
    assert result["failed"]
    assert set(statuses(result).values()) == {"failed"}


def test_the_key_appears_nowhere(run, service):
    service.replies["POST", "/v1/chat/completions"] = lambda e: (
        500,
        e.headers["authorization"].encode(),
    )
    assert KEY not in json.dumps(run(required=False))
