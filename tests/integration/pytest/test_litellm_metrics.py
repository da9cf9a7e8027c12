# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""LiteLLM's own metrics: who may read them, and that the alert rules' numbers are among them."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request

import pytest
import support
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import rules
from conftest import wait_until

pytestmark = pytest.mark.integration

PATH = "/metrics/"
USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
QUESTION = {"model": "mock", "messages": [{"role": "user", "content": "Hello?"}]}


def read(litellm, key: str | None) -> tuple[int, str]:
    """Ask for the metrics and return status and text."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(litellm.url + PATH, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def new_key(litellm, **options) -> str:
    status, made = litellm.ask("/key/generate", options)
    assert status == 200, made
    return made["key"]


@pytest.fixture(scope="module")
def key(litellm):
    """A key as the role teams makes for Prometheus."""
    return new_key(litellm, key_alias="metrics-reader", allowed_routes=[PATH])


def answered(exchange: support.Exchange) -> tuple:
    """Answer as an API of OpenAI's kind does, at once or as a stream."""
    made = {"id": "1", "created": 1, "model": "mock"}
    said = {"role": "assistant", "content": "Hello, you."}
    if not exchange.json().get("stream"):
        made |= {"object": "chat.completion", "usage": USAGE}
        return 200, {**made, "choices": [{"index": 0, "finish_reason": "stop", "message": said}]}
    made |= {"object": "chat.completion.chunk"}
    choices = [
        {"index": 0, "delta": said},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ]
    events = [json.dumps({**made, "choices": [choice]}) for choice in choices] + ["[DONE]"]
    lines = [f"data: {event}\n\n".encode() for event in events]
    return 200, lines, {"Content-Type": "text/event-stream"}


@pytest.fixture(scope="module")
def upstream(docker):
    """A model's API. What LiteLLM adds to it is not measured where LiteLLM answers by itself."""
    made = support.FakeService(docker.gateway())
    made.replies["POST", "/v1/chat/completions"] = answered
    yield made
    made.close()


@pytest.fixture(scope="module")
def model(litellm, upstream):
    """A model behind that API."""
    parameters = {"model": "openai/mock", "api_key": "none", "api_base": f"{upstream.url}/v1"}
    status, made = litellm.ask("/model/new", {"model_name": "mock", "litellm_params": parameters})
    assert status == 200, made
    wait_until(lambda: litellm.ask("/v1/chat/completions", QUESTION)[0] == 200, 60, "the model")
    yield "mock"
    litellm.ask("/model/delete", {"id": made["model_id"]})


@pytest.fixture(scope="module")
def text(litellm, key, model):
    """The metrics after a question that streams, by a team with a budget."""
    _status, team = litellm.ask("/team/new", {"team_alias": "metrics", "max_budget": 5})
    asking = new_key(litellm, key_alias="metrics-asker", team_id=team["team_id"], max_budget=5)
    body = json.dumps({**QUESTION, "stream": True}).encode()
    headers = {"Authorization": f"Bearer {asking}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{litellm.url}/v1/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert b"[DONE]" in answer.read()
    assert litellm.ask("/v1/chat/completions", {**QUESTION, "model": "small"}, asking)[0] >= 500
    counted = r'litellm_proxy_total_requests_metric_total\{[^}]*requested_model="mock"'

    def metrics():
        found = read(litellm, key)[1]
        return found if re.search(counted, found) else ""

    return wait_until(metrics, 60, "the question in LiteLLM's metrics")


def test_they_are_read_with_the_key_that_is_made_for_it_and_with_no_other(litellm, key):
    assert read(litellm, None)[0] == 401
    assert read(litellm, "sk-wrong")[0] == 401
    other = new_key(litellm, key_alias="metrics-other", allowed_routes=["/v1/chat/completions"])
    assert read(litellm, other)[0] in (401, 403)
    assert read(litellm, key)[0] == 200


def test_that_key_may_do_nothing_else(litellm, key):
    for path, body in (
        ("/v1/chat/completions", QUESTION),
        ("/key/info", None),
        ("/v1/models", None),
    ):
        assert litellm.ask(path, body, key)[0] in (401, 403), path


def names_in_rules() -> set[str]:
    """Every metric of LiteLLM that an alert rule asks for."""
    every = " ".join(rule.expr for group in rules.GROUPS.values() for rule in group)
    return set(re.findall(r"\blitellm_[a-z_]+(?:metric|requests|total|bucket)\b", every))


def test_whatever_the_alert_rules_ask_for_is_there(text):
    wanted = names_in_rules()
    assert len(wanted) >= 7
    there = set(re.findall(r"^(\w+)", text, re.MULTILINE))
    assert wanted - there == set()
    assert "process_resident_memory_bytes" in there


def test_what_who_asks_can_make_up_is_no_label(text):
    assert not re.search(r'\b(client_ip|end_user|user_agent|user_email)="', text)


def test_no_key_is_in_the_metrics(text, key):
    assert "sk-" not in text and key not in text
