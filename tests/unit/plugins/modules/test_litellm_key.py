# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decisions of the module against a small LiteLLM; the real one is in tests/integration."""

from __future__ import annotations

import json
import urllib.parse
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils._litellm import token_hash

MASTER = "sk-master"
VALUE = "sk-a-value-of-its-own"


def moment(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


class FakeLiteLLM:
    """Keeps keys as LiteLLM does; replies in its shapes."""

    def __init__(self, service):
        self.service = service
        self.keys: list[dict] = []
        self.ready = True
        service.replies.update(
            {
                ("GET", "/key/list"): self.admin(self.list),
                ("GET", "/v1/models"): self.admin(
                    lambda _e: (200, {"data": [{"id": "qwen"}, {"id": "cloud/*"}]})
                ),
                ("GET", "/team/info"): self.admin(self.team),
                ("POST", "/key/generate"): self.admin(self.generate),
                ("POST", "/key/update"): self.admin(self.update),
                ("POST", "/key/delete"): self.admin(self.delete),
                ("GET", "/health/readiness"): lambda _e: (
                    (200, {"status": "healthy", "db": "connected"})
                    if self.ready
                    else (503, {"status": "healthy", "db": "Not connected"})
                ),
            }
        )

    def admin(self, answer):
        def checked(exchange):
            if not self.ready:
                return 500, {"error": {"message": "prisma is away", "code": "500"}}
            if exchange.headers.get("authorization") != f"Bearer {MASTER}":
                return 401, {"error": {"message": "Authentication Error", "code": "401"}}
            return answer(exchange)

        return checked

    def list(self, exchange):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(exchange.path).query))
        found = [
            key
            for key in self.keys
            if query.get("key_alias") in (None, key["key_alias"])
            and query.get("key_hash") in (None, key["token"])
        ]
        return 200, {"keys": found, "total_pages": 1}

    def team(self, exchange):
        if "team_id=t1" in exchange.path:
            return 200, {"team_id": "t1"}
        return 404, {"error": {"message": "Team not found", "code": "404"}}

    def generate(self, exchange):
        body = exchange.json()
        value = body.pop("key", "sk-chosen")
        self.keys.append(self.key(**{"token": token_hash(value), **body}))
        return 200, {"key": value, "token": token_hash(value)}

    def key(self, **fields):
        duration = fields.pop("duration", None)
        known = {"models": [], "metadata": {}, "spend": 0.0, "created_at": moment(0)}
        if duration:
            known["expires"] = moment(int(duration.rstrip("s")) / 86400)
        return {**known, **fields}

    def update(self, exchange):
        body = exchange.json()
        key = next(k for k in self.keys if k["token"] == body.pop("key"))
        duration = body.pop("duration", None)
        key.update(body)
        if duration:
            key["expires"] = None if duration == "-1" else moment(int(duration.rstrip("s")) / 86400)
        return 200, {"key": key["token"]}

    def delete(self, exchange):
        doomed = exchange.json()["keys"]
        self.keys = [key for key in self.keys if key["token"] not in doomed]
        return 200, {"deleted_keys": doomed}

    def writes(self):
        return [e for e in self.service.exchanges if e.method == "POST"]


@pytest.fixture
def litellm(service):
    return FakeLiteLLM(service)


@pytest.fixture
def run(run_module, service):
    def run(check=False, **options):
        key = {} if "master_key_file" in options else {"master_key": MASTER}
        given = {"litellm_url": service.url, "key_alias": "alice", **key, **options}
        return run_module("litellm_key", check=check, **given)

    return run


def test_key_is_made_once_and_its_value_told_once(run, litellm):
    first = run(models=["qwen"])
    assert first["changed"] and first["key"] == "sk-chosen"
    assert litellm.keys[0]["metadata"] == {"managed_by": "intranet.mcp"}
    second = run(models=["qwen"])
    assert not second["changed"] and "key" not in second
    assert len(litellm.writes()) == 1


def test_check_mode_writes_nothing(run, litellm):
    assert run(check=True, models=["qwen"])["changed"]
    litellm.keys = [litellm.key(key_alias="alice", token="t", models=["qwen"])]
    assert run(check=True, max_budget=5)["changed"]
    assert run(check=True, key=VALUE)["changed"]
    assert run(check=True, state="absent")["changed"]
    assert litellm.writes() == []


def test_only_what_differs_is_sent(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="t", models=["qwen"], max_budget=5.0)]
    result = run(models=["qwen"], max_budget=5, rpm_limit=10)
    assert result["diff"] == {"before": {"rpm_limit": None}, "after": {"rpm_limit": 10}}
    (update,) = litellm.writes()
    assert update.json() == {"key": "t", "rpm_limit": 10}
    assert not run(models=["qwen"], max_budget=5, rpm_limit=10)["changed"]


def test_options_left_out_leave_fields_alone(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="t", max_budget=5.0, tpm_limit=7)]
    assert not run()["changed"]


def test_limits_can_be_taken_away(run, litellm):
    litellm.keys = [
        litellm.key(
            key_alias="alice", token="t", max_budget=5.0, budget_duration="30d", expires=moment(3)
        )
    ]
    options = {"max_budget": -1, "budget_duration": "", "duration": "never"}
    assert run(**options)["changed"]
    (update,) = litellm.writes()
    assert update.json() == {
        "key": "t",
        "max_budget": None,
        "budget_duration": None,
        "duration": "-1",
    }
    assert not run(**options)["changed"]


def test_notes_are_merged_and_removed_one_by_one(run, litellm):
    litellm.keys = [
        litellm.key(key_alias="alice", token="t", metadata={"own": 1, "mail": "a", "old": 2})
    ]
    assert run(metadata={"mail": "b", "old": None})["changed"]
    assert litellm.keys[0]["metadata"] == {"own": 1, "mail": "b"}
    assert not run(metadata={"mail": "b", "old": None})["changed"]


def test_duration_counts_from_creation(run, litellm):
    litellm.keys = [
        litellm.key(key_alias="alice", token="t", created_at=moment(-10), expires=moment(20))
    ]
    assert not run(duration="30d")["changed"]
    assert run(duration="40d")["changed"]
    left = int(litellm.writes()[0].json()["duration"].rstrip("s"))
    assert 29.9 * 86400 < left <= 30 * 86400


def test_moment_of_expiry(run, litellm):
    wanted = moment(5)
    assert run(expires=wanted)["changed"]
    assert not run(expires=wanted)["changed"]
    past = run(expires="2020-01-01")
    assert past["failed"] and "2020-01-01" in past["msg"]


def test_given_value_is_used_and_not_shown(run, litellm):
    result = run(key=VALUE)
    assert result["changed"] and "key" not in result
    assert litellm.keys[0]["token"] == token_hash(VALUE)
    assert VALUE not in json.dumps(result)
    assert not run(key=VALUE)["changed"]


def test_other_value_replaces_the_key_and_carries_its_fields(run, litellm):
    litellm.keys = [
        litellm.key(key_alias="alice", token="old-hash", models=["qwen"], spend=3.5, rpm_limit=9)
    ]
    result = run(key=VALUE, max_budget=10)
    assert result["changed"] and "old-hash" not in json.dumps(result["diff"])
    (key,) = litellm.keys
    assert key["token"] == token_hash(VALUE) and key["key_alias"] == "alice"
    assert (key["spend"], key["rpm_limit"], key["max_budget"]) == (3.5, 9, 10)


def test_old_key_keeps_its_alias_when_the_new_one_is_refused(run, litellm, service):
    litellm.keys = [litellm.key(key_alias="alice", token="old-hash")]
    service.replies["POST", "/key/generate"] = 400, {"error": {"message": "too short"}}
    result = run(key=VALUE)
    assert result["failed"] and "too short" in result["msg"]
    assert litellm.keys[0]["key_alias"] == "alice"


def test_value_of_another_key_is_refused(run, litellm):
    litellm.keys = [litellm.key(key_alias="bob", token=token_hash(VALUE))]
    result = run(key=VALUE)
    assert result["failed"] and "bob" in result["msg"]
    assert litellm.writes() == []


@pytest.mark.parametrize("alias", ["", " ", " alice"])
def test_empty_alias_is_refused(run, litellm, alias):
    result = run(key_alias=alias)
    assert result["failed"] and result["error"]["reason"] == "refused"
    assert litellm.service.exchanges == []


def test_two_keys_with_the_alias_are_refused(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token=token) for token in ("one", "two")]
    result = run()
    assert result["failed"] and "one" in result["msg"] and "two" in result["msg"]


def test_keys_of_other_aliases_are_never_touched(run, litellm, service):
    """A server that ignores the filter sends every key."""
    bob = litellm.key(key_alias="bob", token="b")
    service.replies["GET", "/key/list"] = 200, {"keys": [bob], "total_pages": 1}
    assert not run(state="absent")["changed"]


def test_absent_deletes_once(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="t")]
    assert run(state="absent")["changed"]
    assert litellm.keys == [] and not run(state="absent")["changed"]


def test_unknown_models_and_teams_are_refused(run, litellm):
    wrong = run(models=["qwen", "gpt-9"])
    assert wrong["failed"] and "gpt-9" in wrong["msg"] and "qwen" in wrong["msg"]
    assert run(team_id="t9")["error"]["reason"] == "unknown"
    assert litellm.writes() == []
    assert run(models=["qwen", "cloud/big", "all-team-models"], team_id="t1")["changed"]
    assert run(key_alias="carol", models=["gpt-9"], validate_models=False)["changed"]


def test_wrong_master_key_and_lost_database_are_told_apart(run, litellm):
    assert run(master_key="sk-wrong")["error"]["reason"] == "unauthorized"
    litellm.ready = False
    away = run()
    assert away["error"]["reason"] == "not_ready" and "PostgreSQL" in away["msg"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "Authentication Error, Can't reach database server (ENOTFOUND postgres)"),
        (500, "Authentication Error, The table `public.LiteLLM_VerificationToken` does not exist"),
        (503, "Service Unavailable, the authentication database is temporarily unreachable."),
        (401, "Authentication Error, Timed out fetching a connection from the connection pool"),
    ],
)
def test_database_trouble_is_known_though_readiness_lags(run, litellm, service, status, message):
    service.replies["GET", "/key/list"] = status, {"error": {"message": message}}
    assert run()["error"]["reason"] == "not_ready"


def test_master_key_may_come_from_a_file(run, litellm, tmp_path):
    path = tmp_path / "master"
    path.write_text(MASTER + "\n")
    assert run(master_key_file=str(path))["changed"]


def test_unreachable_and_foreign_services(run, litellm, closed_port, service):
    assert run(litellm_url=closed_port)["error"]["reason"] == "unreachable"
    service.replies["GET", "/key/list"] = 404, b"<html>"
    assert run()["error"]["reason"] == "unexpected"
