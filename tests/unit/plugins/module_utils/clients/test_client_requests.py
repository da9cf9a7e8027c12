# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Shapes of the CLIs' opening requests, and what is made of them."""

from __future__ import annotations

import json

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.clients import client_requests

KEPT = json.loads((support.REPOSITORY / "roles/clients/files/requests.json").read_text())
MANIFEST = yaml.safe_load(
    (support.REPOSITORY / "roles/platform/vars/main/clients.yml").read_text()
)["client_manifest"]
RECORDED = {
    "path": "/v1/messages?beta=true",
    "headers": {"anthropic-version": "2023-06-01"},
    "body": {
        "model": "recorded:1",
        "max_tokens": 8192,
        "stream": True,
        "thinking": {"type": "adaptive"},
        "system": [{"type": "text", "text": "You are somebody. " * 100}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}],
        "tools": [
            {"name": f"Tool{n}", "description": "Does things.", "input_schema": {"type": "object"}}
            for n in range(3)
        ],
    },
}


def texts(value: object):
    """Yield every string of a value, keys left out."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def test_every_pinned_cli_was_recorded_in_its_version():
    """After a new version of one: `make record-clients`."""
    recorded = {name: shape["version"] for name, shape in KEPT.items()}
    assert recorded == {name: client["version"] for name, client in MANIFEST.items()}


@pytest.mark.parametrize("cli", KEPT)
def test_no_text_of_a_cli_is_kept(cli):
    assert [text for text in texts(KEPT[cli]["body"]) if " " in text or len(text) > 48] == []


def test_a_shape_keeps_parameters_and_sizes_and_no_text():
    shape = client_requests.shape_of(RECORDED)
    body = shape["body"]
    assert shape["bytes"] == len(json.dumps(RECORDED["body"]))
    assert body["thinking"] == {"type": "adaptive"} and body["stream"] is True
    assert body["system"] == [{"type": "text", "text": {"$text_bytes": 1800}}]
    assert body["tools"][0]["name"] == {"$text_bytes": 5}
    assert "somebody" not in json.dumps(shape) and "Tool0" not in json.dumps(shape)


@pytest.mark.parametrize("cli", KEPT)
def test_every_answer_is_bounded_also_where_the_cli_leaves_it_to_the_model(cli):
    body = client_requests.request_from(KEPT[cli], "qwen3:8b", 16, 64, 2)["body"]
    settings = {**body, **body.get("generationConfig", {})}
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")
    assert [settings[name] for name in names if name in settings] == [16]


def test_a_request_has_all_parameters_a_short_text_and_the_question():
    shape = client_requests.shape_of(RECORDED)
    request = client_requests.request_from(shape, "qwen3:8b", 16, 64, 2)
    body = request["body"]
    assert set(body) == set(RECORDED["body"]) and request["headers"] == RECORDED["headers"]
    assert (body["model"], body["max_tokens"]) == ("qwen3:8b", 16)
    assert len(body["system"][0]["text"]) == 64
    assert body["messages"][0]["content"][0]["text"] == "Say hello."
    assert [tool["name"] for tool in body["tools"]] == ["tool_1", "tool_2"]


@pytest.mark.parametrize("cli", KEPT)
def test_every_recorded_shape_becomes_a_request_that_asks_for_a_stream(cli):
    request = client_requests.request_from(KEPT[cli], "qwen3:8b", 16, 64, 2)
    assert "$" not in json.dumps(request["body"])
    assert client_requests.QUESTION in json.dumps(request["body"])
    is_streamed = request["body"].get("stream") or "streamGenerateContent" in request["path"]
    assert is_streamed and "MODEL" not in request["path"]


def test_googles_path_has_the_name_without_a_colon():
    request = client_requests.request_from(KEPT["gemini"], "qwen3:8b", 16, 64, 2)
    assert request["path"].startswith("/v1beta/models/qwen3-8b:")


@pytest.mark.parametrize(
    ("cli", "parameters"),
    [
        ("claude", ["tools", "thinking", "context_management", "output_config"]),
        ("gemini", ["tools", "temperature", "topP", "topK", "thinkingConfig"]),
        ("qwen", ["tools"]),
    ],
)
def test_parameters_are_what_a_request_asks_for_beside_its_texts(cli, parameters):
    body = client_requests.request_from(KEPT[cli], "qwen3:8b", 16, 64, 2)["body"]
    assert client_requests.parameters_of(body) == parameters
