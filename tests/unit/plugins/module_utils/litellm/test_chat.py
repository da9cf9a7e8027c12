# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probes of an LLM API: what each answer of it means for a CLI."""

from __future__ import annotations

import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import Reply
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.chat import Check, LlmProbe


class FakeClient:
    """Answers one status and body; remembers what was asked, and with which key."""

    def __init__(self, status=200, body=None, error=None):
        self.status, self.body, self.error = status, body, error
        self.asked = []

    def request(self, method, path, body=None, headers=None):
        self.asked.append((path, (headers or {}).get("Authorization", "")))
        if self.error:
            raise self.error
        return Reply(self.status, {}, json.dumps(self.body).encode())


def silent():
    return errors.TimedOut("no answer within 1 s", "an answer", "read its log")


def test_a_model_is_looked_up_among_those_that_the_key_sees():
    client = FakeClient(body={"data": [{"id": "qwen"}]})
    assert LlmProbe(client, "sk-a").run("models", "qwen").status == "passed"
    missing = LlmProbe(client, "sk-a").run("models", "other")
    assert (missing.status, missing.found) == ("failed", "qwen")
    assert client.asked[0] == ("/v1/models", "Bearer sk-a")


def test_an_answer_without_text_is_none():
    empty = FakeClient(body={"choices": [{"message": {"content": ""}}]})
    told = FakeClient(body={"choices": [{"message": {"content": "Hello"}}]})
    assert LlmProbe(empty, "k").run("chat", "qwen").status == "failed"
    assert LlmProbe(told, "k").run("chat", "qwen").status == "passed"


def test_a_model_that_is_silent_is_waited_for_once():
    client = FakeClient(error=silent())
    first, rest = LlmProbe(client, "k").of_model("qwen", ["chat", "stream", "tool_call"])
    assert (first.status, first.is_silent) == ("failed", True)
    assert (rest.status, rest.found) == ("unknown", "not tried after chat: stream, tool_call")
    assert len(client.asked) == 1


@pytest.mark.parametrize(
    ("status", "expected"), [(401, "passed"), (403, "passed"), (200, "failed"), (502, "unknown")]
)
def test_a_caller_without_a_key_has_to_be_turned_away(status, expected):
    """A proxy that is broken turns nobody away: that is no verdict."""
    client = FakeClient(status)
    assert LlmProbe(client, "k").denies("no_key").status == expected
    assert set(client.asked) == {("/v1/models", "")}


def test_a_wrong_key_is_never_the_right_one():
    client = FakeClient(401)
    LlmProbe(client, "sk-right").denies("wrong_key")
    assert client.asked[0][1].startswith("Bearer sk-") and "sk-right" not in client.asked[0][1]


def test_a_revoked_key_that_nobody_gave_is_no_verdict():
    client = FakeClient(401)
    assert LlmProbe(client, "k").denies("revoked_key").status == "unknown"
    assert not client.asked


def test_a_forbidden_model_proves_nothing_with_a_key_that_is_refused_itself():
    denied = LlmProbe(FakeClient(401), "k").denied_model("secret-model")
    assert (denied.status, denied.found) == ("unknown", "the key itself gets HTTP 401")


def test_a_result_has_no_inner_mark_and_no_more_than_fits_a_row():
    check = Check("chat", "qwen")
    check.conclude(False, "x" * 1000, "do this")
    told = check.as_dict()
    assert "is_silent" not in told and len(told["found"]) == 300
    check.conclude(True, "fine", "do this")
    assert check.action == ""
