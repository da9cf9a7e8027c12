# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""LiteLLM's management API as its administrator: what its answers mean, and what is sent."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import Reply
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import client

READY = {"GET /health/readiness": (200, {"status": "healthy", "db": "connected"})}


class FakeHttp:
    """Answers by method and path; a path without an answer is not found."""

    url = "http://127.0.0.1:4000"

    def __init__(self, answers):
        self.answers = {**READY, **answers}
        self.sent = []

    def request(self, method, path, body=None, headers=None):
        self.sent.append((method, path, body))
        status, answer = self.answers.get(f"{method} {path}", (404, "Not Found"))
        return Reply(status, {}, json.dumps(answer).encode())


def at(method, path, status, answer):
    return client.LiteLLMClient(FakeHttp({f"{method} {path}": (status, answer)}), "sk-master")


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (401, {"error": {"message": "Authentication Error"}}, errors.Unauthorized),
        (503, {"error": "no"}, errors.NotReady),
        (400, {"error": {"message": "No connected DB."}}, errors.NotReady),
        (400, {"detail": {"error": "team_id is wrong"}}, errors.Refused),
        (404, {"error": "no such team"}, errors.Unknown),
        (404, "Not Found", errors.Unexpected),
        (500, {"error": "boom"}, errors.Unexpected),
    ],
)
def test_each_answer_that_is_no_success_has_an_error_of_its_own(status, answer, kind):
    with pytest.raises(errors.ServiceError) as raised:
        at("GET", "/team/info", status, answer).get("/team/info")
    assert type(raised.value) is kind


def test_a_model_that_cannot_be_kept_names_the_setting():
    answer = {"error": {"message": "Set `'STORE_MODEL_IN_DB='True'` in your env"}}
    with pytest.raises(errors.Refused, match="store_model_in_db: true"):
        at("POST", "/model/new", 500, answer).post("/model/new", {})


def test_no_error_has_the_master_key():
    with pytest.raises(errors.Unauthorized) as raised:
        at("GET", "/key/list", 403, {"error": "no"}).get("/key/list")
    assert "sk-master" not in str(raised.value)


def test_every_page_of_a_list_is_read():
    pages = {
        f"GET /user/list?page={page}&page_size=100": (
            200,
            {"users": [{"user_id": f"u{page}"}], "total_pages": 2},
        )
        for page in (1, 2)
    }
    found = client.LiteLLMClient(FakeHttp(pages), "sk-master").users()
    assert [user["user_id"] for user in found] == ["u1", "u2"]


def test_a_filter_that_the_server_ignores_matches_no_other_key():
    keys = [{"key_alias": "a", "token": "1"}, {"key_alias": "b", "token": "2"}]
    path = "/key/list?page=1&return_full_object=true&size=100&key_alias=a"
    found = at("GET", path, 200, {"keys": keys, "total_pages": 1}).keys(key_alias="a")
    assert found == keys[:1]


def test_a_revoked_key_is_blocked_before_it_is_deleted():
    """Other replicas hear of a block, and of no deletion."""
    answers = {f"POST /key/{act}": (200, {}) for act in ("block", "delete")}
    http = FakeHttp(answers)
    client.LiteLLMClient(http, "sk-master").revoke(["1", "2"])
    assert [(path, body) for _method, path, body in http.sent] == [
        ("/key/block", {"key": "1"}),
        ("/key/block", {"key": "2"}),
        ("/key/delete", {"keys": ["1", "2"]}),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gpt-x", True), ("ollama/qwen", True), ("all-team-models", True), ("other", False)],
)
def test_wildcards_and_groups_are_known_models(name, expected):
    assert client.is_known(name, ["gpt-x", "ollama/*"]) is expected


def test_a_moment_without_a_zone_is_utc_and_later_ones_follow():
    moment = client.point_in_time("2027-01-31")
    assert moment == datetime(2027, 1, 31, tzinfo=timezone.utc)  # noqa: UP017 - as in the module
    assert client.after(moment, "2d").day == 2
    assert client.point_in_time("2027-01-31T00:00:00Z") == moment


@pytest.mark.parametrize("parse", [client.point_in_time, client.seconds])
def test_what_is_no_time_is_refused_with_an_example(parse):
    with pytest.raises(errors.Refused, match="for example"):
        parse("soon")
