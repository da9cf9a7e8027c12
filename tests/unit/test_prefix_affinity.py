# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which deployment a conversation goes to (the callback prefix_affinity of the litellm role)."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import types
from collections import Counter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "roles/litellm/files/prefix_affinity.py"
LOGGER = "litellm.integrations.custom_logger"


@pytest.fixture(scope="module")
def affinity():
    """The callback as a module. LiteLLM is not installed here; its base class does nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, LOGGER, types.SimpleNamespace(CustomLogger=object))
        for parent in ("litellm", "litellm.integrations"):
            patch.setitem(sys.modules, parent, types.ModuleType(parent))
        spec = importlib.util.spec_from_file_location("prefix_affinity", SOURCE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def deployment(host, mode="chat", context=65536):
    info = {"id": f"id-of-{host}", "host": host, "mode": mode, "max_input_tokens": context}
    return {"model_info": info}


HOSTS = [deployment(f"gpu{number}") for number in (1, 2, 3)]


@pytest.fixture
def choose(affinity):
    """Return the hosts that a request may go to."""

    def choose(request, deployments=HOSTS, messages=None):
        found = affinity.handler.async_filter_deployments("m", deployments, messages, request)
        return [one["model_info"]["host"] for one in asyncio.run(found)]

    return choose


def user(text):
    return {"role": "user", "content": text}


def session(name, **metadata):
    return {"metadata": {"session_id": name, **metadata}}


def test_all_turns_of_a_session_go_to_one_host(choose):
    first = choose(session("one"))
    assert len(first) == 1
    turns = [
        {"messages": [{"role": "user", "content": str(n)}], **session("one")} for n in range(9)
    ]
    assert all(choose(turn) == first for turn in turns)


def test_whoever_repeats_the_session_or_the_words_of_another_meets_no_certain_host(choose):
    """Else the speed of an answer would tell whether another has said the same."""
    same = ({"session_id": "one"}, {})
    for metadata in same:
        requests = [
            {"messages": [user("Hello")], "metadata": {**metadata, "user_api_key_hash": f"key-{n}"}}
            for n in range(60)
        ]
        assert {choose(request)[0] for request in requests} == {"gpu1", "gpu2", "gpu3"}


def test_the_order_in_which_a_replica_knows_the_hosts_is_no_matter(choose):
    assert choose(session("one"), HOSTS[::-1]) == choose(session("one"))


def test_sessions_spread_over_the_hosts(choose):
    found = Counter(choose(session(f"session-{n}"))[0] for n in range(600))
    assert set(found) == {"gpu1", "gpu2", "gpu3"} and min(found.values()) > 150


def test_a_host_that_is_gone_moves_its_own_sessions_and_no_others(choose):
    left = HOSTS[1:]
    for number in range(60):
        before, after = choose(session(f"s{number}")), choose(session(f"s{number}"), left)
        assert len(after) == 1 and (before == ["gpu1"] or before == after)


def test_a_retry_leaves_the_host_that_failed_and_stays_with_the_next(choose):
    (first,) = choose(session("one"))
    failed = session("one", previous_models=[{"deployment_id": f"id-of-{first}"}])
    (second,) = choose(failed)
    assert second != first
    assert choose(session("one"), [d for d in HOSTS if d["model_info"]["host"] != first]) == [
        second
    ]


def test_where_every_host_has_failed_one_is_asked_again(choose):
    attempts = [{"deployment_id": one["model_info"]["id"]} for one in HOSTS]
    assert choose(session("one", previous_models=attempts)) == choose(session("one"))


def test_a_prompt_cache_key_is_a_session(choose):
    answers = [
        choose({"prompt_cache_key": "k", "input": [{"role": "user", "content": str(n)}]})
        for n in range(9)
    ]
    assert len(answers[0]) == 1 and answers.count(answers[0]) == 9


SHAPES = {
    "/v1/chat/completions": lambda turns: {
        "messages": [{"role": "system", "content": "s"}, *turns]
    },
    "/v1/messages": lambda turns: {"system": "s", "messages": turns},
    "/v1/responses": lambda turns: {"instructions": "s", "input": turns},
    "Gemini": lambda turns: {"systemInstruction": {"parts": ["s"]}, "contents": turns},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_session_the_opening_tells_a_conversation(affinity, shape):
    def key(*turns):
        return affinity.conversation_key(SHAPES[shape](list(turns)))

    opened = key(user("Hello"))
    assert opened and opened == key(user("Hello"), {"role": "assistant"}, user("More"))
    assert opened != key(user("Good morning"))


def test_instructions_are_part_of_the_opening(affinity):
    keys = {
        affinity.conversation_key({"system": s, "messages": [user("Hello")]}) for s in ("a", "b")
    }
    assert len(keys) == 2


def test_a_text_for_the_responses_api_is_an_opening(affinity):
    assert affinity.conversation_key({"input": "Hello"}) != affinity.conversation_key(
        {"input": "Bye"}
    )


@pytest.mark.parametrize(
    ("request_", "deployments"),
    [
        ({}, HOSTS),
        ({"prompt": "of the old completions API"}, HOSTS),
        (session("one"), HOSTS[:1]),
        (session("one"), []),
        ({"input": ["a", "b"]}, [deployment("gpu1", "embedding"), deployment("gpu2", "embedding")]),
        (session("one"), [deployment("gpu1"), deployment("gpu2", context=131072)]),
    ],
)
def test_what_is_no_conversation_or_has_no_choice_is_left_to_litellm(choose, request_, deployments):
    assert choose(request_, deployments) == [one["model_info"]["host"] for one in deployments]


def test_a_deployment_without_host_is_told_by_its_id(choose, affinity):
    added = [{"model_info": {"id": name}} for name in ("a", "b")]
    found = asyncio.run(affinity.handler.async_filter_deployments("m", added, None, session("one")))
    assert len(found) == 1
