# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import threading

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
    assert set(statuses(result)) == {
        "models",
        "chat",
        "stream",
        "tool_call",
        "embedding",
        "denies_no_key",
        "denies_wrong_key",
    }


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
    (check, *_denials) = run(models=[{"name": "m", "checks": ["tool_call"]}], required=False)[
        "checks"
    ]
    assert (check["status"], check["found"]) == ("failed", "no tool call")
    assert "ollama_chat/" in check["action"]


def test_an_api_that_lets_everybody_in_fails(run, service):
    service.replies["GET", "/v1/models"] = (200, {"data": [{"id": "m"}]})
    result = run(models=[])
    assert result["failed"]
    assert "denies_no_key : found HTTP 200" in result["msg"]


def test_a_model_that_is_not_listed_fails_and_names_the_listed_ones(run):
    result = run(models=[{"name": "other", "checks": ["models"]}])
    assert result["failed"]
    assert "found m, expected other among the models" in result["msg"]


def test_a_failure_without_required_is_reported_only(run):
    assert not run(models=[{"name": "other", "checks": ["models"]}], required=False)["failed"]


def test_an_api_that_is_away_is_a_failed_check(run, closed_port):
    result = run(url=closed_port)
    assert result["failed"]
    assert statuses(result) == {
        "models": "failed",
        "unasked": "unknown",
        "denies_no_key": "failed",
        "denies_wrong_key": "failed",
    }


# What each API answers: plain, in events, and the events of an answer that breaks off.
SHAPES = {
    "messages": (
        "/v1/messages",
        {"content": [{"type": "text", "text": "Hello"}]},
        [
            '{"type": "message_start"}',
            '{"type": "content_block_delta", "delta": {"text": "Hello"}}',
            '{"type": "message_stop"}',
        ],
    ),
    "responses": (
        "/v1/responses",
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}]},
        [
            '{"type": "response.created"}',
            '{"type": "response.output_text.delta", "delta": "Hello"}',
            '{"type": "response.completed"}',
        ],
    ),
    "gemini": (
        "/v1beta/models/m:generateContent",
        {"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]},
        [
            '{"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}',
            '{"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]}',
        ],
    ),
}


def key_of(exchange):
    bearer = exchange.headers.get("authorization", "").removeprefix("Bearer ")
    return exchange.headers.get("x-goog-api-key") or bearer


def serve(service, shape, plain, streamed):
    """Answer one API, to the right key only."""
    path = SHAPES[shape][0]

    def answer(exchange):
        if key_of(exchange) != KEY:
            return 401, {"error": "no"}
        body = exchange.json()
        return (200, events(*streamed)) if body.get("stream") else (200, plain)

    service.replies["POST", path] = answer
    if shape == "gemini":  # its path says that it is streamed, not its body
        path = path.replace(":generate", ":streamGenerate")
        service.replies["POST", path] = lambda exchange: (
            (200, events(*streamed)) if key_of(exchange) == KEY else (401, {})
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_each_cli_is_asked_for_in_its_own_shape(run, service, shape):
    _path, plain, streamed = SHAPES[shape]
    serve(service, shape, plain, streamed)
    checks = run(models=[{"name": "m", "checks": [shape, f"{shape}_stream"]}], denies=[])["checks"]
    assert [(c["status"], c["found"]) for c in checks] == [("passed", "'Hello'")] * 2
    assert checks[1]["first_ms"] > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_of_another_shape_fails(run, service, shape):
    serve(service, shape, {"choices": [{"message": {"content": "Hello"}}]}, [delta(content="Hi")])
    result = run(models=[{"name": "m", "checks": [shape, f"{shape}_stream"]}], required=False)
    assert [check["status"] for check in result["checks"][:2]] == ["failed", "failed"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stream_that_breaks_off_fails(run, service, shape):
    _path, plain, streamed = SHAPES[shape]
    serve(service, shape, plain, streamed[:-1])
    check = run(models=[{"name": "m", "checks": [f"{shape}_stream"]}], required=False)["checks"][0]
    assert check["status"] == "failed" and check["found"] == "'Hello', never ended"


def test_an_error_inside_a_stream_fails_though_the_status_was_good(run, service):
    broken = events(delta(content="Hel"), '{"error": {"message": "out of memory"}}', "[DONE]")
    service.replies["POST", "/v1/chat/completions"] = lambda _e: (200, broken)
    check = run(models=[{"name": "m", "checks": ["stream"]}], required=False)["checks"][0]
    assert (check["status"], check["found"]) == ("failed", "out of memory")


CALLS = {
    "messages": [
        '{"type": "content_block_start",'
        ' "content_block": {"type": "tool_use", "name": "get_weather"}}',
        '{"type": "content_block_delta", "delta": {"partial_json": "{\\"city\\": "}}',
        '{"type": "content_block_delta", "delta": {"partial_json": "\\"Paris\\"}"}}',
    ],
    "responses": [
        '{"type": "response.output_item.added", "item": {"type": "function_call"}}',
        '{"type": "response.output_item.done", "item": {"type": "function_call",'
        ' "name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}}',
    ],
    "gemini": [
        '{"candidates": [{"content": {"parts": [{"functionCall":'
        ' {"name": "get_weather", "args": {"city": "Paris"}}}]}}]}'
    ],
}


@pytest.mark.parametrize("shape", CALLS)
def test_a_tool_is_called_in_the_shape_of_each_cli(run, service, shape):
    serve(service, shape, {}, CALLS[shape])
    model = {"name": "m", "checks": [f"{shape}_tool_call"]}
    (check,) = run(models=[model], denies=[])["checks"]
    assert (check["status"], check["found"]) == ("passed", 'get_weather({"city": "Paris"})')
    (request,) = [e for e in service.exchanges if e.method == "POST"]
    (declared,) = request.json()["tools"]
    assert "get_weather" in json.dumps(declared)
    serve(service, shape, {}, SHAPES[shape][2])
    (check,) = run(models=[model], denies=[], required=False)["checks"]
    assert (check["status"], check["found"]) == ("failed", "no tool call")


def test_gemini_may_know_a_model_under_another_name(run, service):
    serve(service, "gemini", *SHAPES["gemini"][1:])
    model = {"name": "a:b", "gemini_name": "m", "checks": ["gemini", "gemini_stream"]}
    assert not run(models=[model])["failed"]


def test_a_silent_model_is_waited_for_once(run, service):
    released = threading.Event()

    def silent(_exchange):
        released.wait(20)
        return 200, {}

    service.replies["POST", "/v1/chat/completions"] = silent
    model = {"name": "m", "checks": ["chat", "stream", "tool_call"]}
    try:
        checks = run(models=[model], denies=[], timeout=1, required=False)["checks"]
    finally:
        released.set()
    assert [check["status"] for check in checks] == ["failed", "unknown"]
    assert checks[1]["found"] == "not tried after chat: stream, tool_call"


def test_a_broken_service_is_no_denial(run, service):
    service.replies["GET", "/v1/models"] = (502, b"bad gateway")
    checks = run(models=[], required=False)["checks"]
    assert {check["status"] for check in checks} == {"unknown"}
    assert run(models=[])["failed"]


def test_a_revoked_key_is_asked_with_until_it_is_refused(run, service):
    seen = []

    def losing(exchange):
        seen.append(exchange)
        return (401, {}) if len(seen) > 2 else (200, {"data": []})

    service.replies["GET", "/v1/models"] = losing
    result = run(models=[], denies=["revoked_key"], revoked_key="sk-old", revoked_within_seconds=20)
    assert not result["failed"] and len(seen) == 3
    assert seen[0].headers["authorization"] == "Bearer sk-old"


def test_a_revoked_key_that_still_works_fails(run, service):
    service.replies["GET", "/v1/models"] = (200, {"data": []})
    result = run(models=[], denies=["revoked_key"], revoked_key="sk-old")
    assert result["failed"] and "found HTTP 200" in result["msg"]
    unknown = run(models=[], denies=["revoked_key"], required=False)["checks"][0]
    assert unknown["status"] == "unknown"


def test_a_model_of_another_team_must_be_refused_to_a_valid_key(run, service):
    def by_model(exchange):
        return (403, {}) if exchange.json()["model"] == "theirs" else chat(exchange)

    service.replies["POST", "/v1/chat/completions"] = by_model
    refused, open_to_all = run(models=[], denied_models=["theirs", "m"], denies=[], required=False)[
        "checks"
    ]
    assert (refused["status"], open_to_all["status"]) == ("passed", "failed")
    invalid = run(api_key="sk-dead", models=[], denied_models=["theirs"], denies=[], required=False)
    assert invalid["checks"][0]["status"] == "unknown"


def test_the_key_appears_nowhere(run, service):
    service.replies["POST", "/v1/chat/completions"] = lambda e: (
        500,
        e.headers["authorization"].encode(),
    )
    assert KEY not in json.dumps(run(required=False))


BODY = {"model": "m", "messages": [], "thinking": {"type": "adaptive"}, "tools": [], "stream": True}
RECORDED = {"path": "/v1/messages?beta=true", "headers": {"anthropic-beta": "x"}, "body": BODY}


def test_a_recorded_request_is_sent_as_it_is_and_needs_an_answer(run, service):
    thought = json.dumps({"type": "content_block_delta", "delta": {"thinking": "Hm"}})
    end = json.dumps({"type": "message_stop"})
    service.replies["POST", "/v1/messages"] = lambda _e: (200, events(thought, end))
    models = [{"name": "m", "checks": ["models"], "requests": {"claude": RECORDED}}]
    assert not run(models=models)["failed"]
    (sent,) = service.seen("POST", "/v1/messages")
    assert sent.json() == BODY and sent.headers["anthropic-beta"] == "x"

    refused = {"error": {"message": '"m" does not support thinking'}}
    service.replies["POST", "/v1/messages"] = lambda _e: (400, refused)
    result = run(models=models)
    assert result["failed"] and "does not support thinking" in result["msg"]
    check = next(c for c in result["checks"] if c["status"] == "failed")
    assert (check["name"], check["model"]) == ("claude_request", "m")
    assert check["expected"] == "an answer, then message_stop, to a request with thinking, tools"
    assert "capabilities" in check["action"] and "site.yml" in check["action"]

    service.replies["POST", "/v1/messages"] = lambda _e: (200, events(thought))
    assert "never ended" in run(models=models)["msg"]
