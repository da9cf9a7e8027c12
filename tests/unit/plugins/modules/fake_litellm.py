# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A small LiteLLM: keeps keys, teams, users and models as it does, replies in its shapes."""

from __future__ import annotations

import json
import urllib.parse
from datetime import UTC, datetime, timedelta

from ansible_collections.intranet.mcp.plugins.module_utils.litellm.client import token_hash

MASTER = "sk-master"
MARK = {"managed_by": "intranet.mcp"}


def moment(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


class FakeLiteLLM:
    """Answers on a FakeService."""

    def __init__(self, service):
        self.service = service
        self.keys: list[dict] = []
        self.teams: list[dict] = []
        self.users: list[dict] = []
        self.models: list[dict] = []
        self.daily: dict[str, list[dict]] = {"user": [], "team": []}
        self.ready = True
        self.stores_models = True
        routes = {
            ("GET", "/key/list"): self.list_keys,
            ("GET", "/v2/team/list"): self.list_teams,
            ("GET", "/user/list"): self.list_users,
            ("GET", "/user/daily/activity/export"): lambda e: self.export(e, "user"),
            ("GET", "/team/daily/activity/export"): lambda e: self.export(e, "team"),
            ("GET", "/v2/model/info"): lambda _e: (200, {"data": self.models, "total_pages": 1}),
            ("GET", "/v1/models"): lambda _e: (
                200,
                {"data": [{"id": "qwen"}, {"id": "cloud/*"}]},
            ),
            ("GET", "/health/readiness/details"): lambda _e: (200, {"litellm_version": "1.106.2"}),
            ("POST", "/key/generate"): self.generate,
            ("POST", "/key/update"): self.update_key,
            ("POST", "/key/block"): self.block_key,
            ("POST", "/key/delete"): self.delete_keys,
            ("POST", "/team/new"): self.new_team,
            ("POST", "/team/update"): self.update_team,
            ("POST", "/team/delete"): self.delete_teams,
            ("POST", "/team/member_add"): self.add_member,
            ("POST", "/team/member_delete"): self.delete_member,
            ("POST", "/user/new"): self.new_user,
            ("POST", "/user/update"): self.update_user,
            ("POST", "/user/delete"): self.delete_users,
            ("POST", "/model/new"): self.new_model,
            ("POST", "/model/delete"): self.delete_model,
            ("PATCH", "/model/own/update"): self.update_model,
        }
        service.replies.update({route: self.admin(answer) for route, answer in routes.items()})
        service.replies["GET", "/health/readiness"] = lambda _e: (
            (200, {"status": "healthy", "db": "connected"})
            if self.ready
            else (503, {"status": "healthy", "db": "Not connected"})
        )

    def admin(self, answer):
        def checked(exchange):
            if not self.ready:
                return 500, {"error": {"message": "prisma is away", "code": "500"}}
            if exchange.headers.get("authorization") != f"Bearer {MASTER}":
                return 401, {"error": {"message": "Authentication Error", "code": "401"}}
            return answer(exchange)

        return checked

    def writes(self):
        return [e for e in self.service.exchanges if e.method != "GET"]

    # --- keys ---

    def list_keys(self, exchange):
        query = _query(exchange)

        def has_alias(key):
            wanted, alias = query.get("key_alias"), key["key_alias"]
            return wanted in (None, alias) or ("substring_matching" in query and wanted in alias)

        found = [
            key
            for key in self.keys
            if has_alias(key)
            and query.get("key_hash") in (None, key["token"])
            and query.get("team_id") in (None, key.get("team_id"))
            and query.get("user_id") in (None, key.get("user_id"))
        ]
        return 200, {"keys": found, "total_pages": 1}

    def key(self, **fields):
        duration = fields.pop("duration", None)
        known = {"models": [], "metadata": {}, "spend": 0.0, "created_at": moment(0)}
        if duration:
            known["expires"] = moment(int(duration.rstrip("s")) / 86400)
        return {**known, **fields}

    def generate(self, exchange):
        body = exchange.json()
        value = body.pop("key", f"sk-chosen-{len(self.writes())}")
        if body["key_alias"] in [key["key_alias"] for key in self.keys]:
            return 400, {"error": {"message": "Unique key aliases are required"}}
        self.keys.append(self.key(**{"token": token_hash(value), **body}))
        return 200, {"key": value, "token": token_hash(value)}

    def update_key(self, exchange):
        body = exchange.json()
        token = body.pop("key")
        key = next(k for k in self.keys if k["token"] == token)
        duration = body.pop("duration", None)
        key.update(body)
        if duration:
            key["expires"] = None if duration == "-1" else moment(int(duration.rstrip("s")) / 86400)
        return 200, {"key": key["token"]}

    def block_key(self, exchange):
        key = next(k for k in self.keys if k["token"] == exchange.json()["key"])
        key["blocked"] = True
        return 200, key

    def delete_keys(self, exchange):
        doomed = exchange.json()["keys"]
        self.keys = [key for key in self.keys if key["token"] not in doomed]
        return 200, {"deleted_keys": doomed}

    # --- teams and users ---

    def list_teams(self, exchange):
        query = _query(exchange)
        part = query.get("team_alias", "")
        found = [team for team in self.teams if part in team["team_alias"]]
        return 200, {"teams": found, "total_pages": 1}

    def team(self, alias, **fields):
        known = {"team_id": alias, "team_alias": alias, "models": [], "metadata": dict(MARK)}
        return {**known, "members_with_roles": [], **fields}

    def new_team(self, exchange):
        body = exchange.json()
        self.teams.append(self.team(body.pop("team_alias"), **body))
        return 200, body

    def update_team(self, exchange):
        body = exchange.json()
        team = next(t for t in self.teams if t["team_id"] == body["team_id"])
        team.update(body)
        return 200, {"data": team}

    def delete_teams(self, exchange):
        doomed = exchange.json()["team_ids"]
        self.teams = [team for team in self.teams if team["team_id"] not in doomed]
        self.keys = [key for key in self.keys if key.get("team_id") not in doomed]
        return 200, {}

    def list_users(self, exchange):
        part = _query(exchange).get("user_ids", "").lower()
        found = [user for user in self.users if part in user["user_id"].lower()]
        return 200, {"users": found, "total_pages": 1}

    def user(self, user_id, **fields):
        known = {"user_id": user_id, "user_role": "internal_user", "teams": []}
        return {**known, "metadata": dict(MARK), **fields}

    def new_user(self, exchange):
        body = exchange.json()
        self.users.append(self.user(body.pop("user_id"), **{"metadata": {}, **body}))
        return 200, body

    def update_user(self, exchange):
        body = exchange.json()
        next(u for u in self.users if u["user_id"] == body["user_id"]).update(body)
        return 200, {}

    def delete_users(self, exchange):
        doomed = exchange.json()["user_ids"]
        self.users = [user for user in self.users if user["user_id"] not in doomed]
        self.keys = [key for key in self.keys if key.get("user_id") not in doomed]
        return 200, str(len(doomed)).encode()

    def add_member(self, exchange):
        body = exchange.json()
        for member in body["member"]:
            user = next(u for u in self.users if u["user_id"] == member["user_id"])
            user["teams"] = [*user["teams"], body["team_id"]]
        return 200, body

    def delete_member(self, exchange):
        """With the membership go the keys, as LiteLLM has it."""
        user_id, team_id = exchange.json()["user_id"], exchange.json()["team_id"]
        user = next(u for u in self.users if u["user_id"] == user_id)
        user["teams"] = [name for name in user["teams"] if name != team_id]
        own = {"user_id": user_id, "team_id": team_id}
        self.keys = [k for k in self.keys if not own.items() <= k.items()]
        return 200, own

    # --- models ---

    def used(self, day, key, user, requests, *teams, alias=None):
        """Note what a key used on a day; teams: names, and the requests of each."""

        def row(entity, count):
            numbers = {"api_requests": count, "failed_requests": 0, "spend": count / 4}
            numbers |= {"prompt_tokens": 10 * count, "completion_tokens": 2 * count}
            whose = {"entity_id": entity, "key_alias": alias, "user_id": user}
            return {"date": day, "api_key": key, **whose, **numbers, "cache_read_input_tokens": 0}

        self.daily["user"].append(row(user, requests))
        self.daily["team"] += [row(team, count) for team, count in teams]

    def export(self, exchange, entity):
        query = _query(exchange)
        if (query.get("export_type"), query.get("format")) != ("daily_with_keys", "json"):
            return 422, {"detail": "no such export"}
        days = (query["start_date"], query["end_date"])
        rows = [row for row in self.daily[entity] if days[0] <= row["date"] <= days[1]]
        return 200, json.dumps(rows).encode()

    def model(self, name, in_database=True, params=None, **info):
        return {
            "model_name": name,
            "litellm_params": {"model": "openai/x", **(params or {})},
            "model_info": {"id": name, "db_model": in_database, "mode": None, **info},
        }

    def new_model(self, exchange):
        if not self.stores_models:
            return 500, {"error": {"message": "Set `'STORE_MODEL_IN_DB='True'` in your env"}}
        body = exchange.json()
        params = {k: v for k, v in body["litellm_params"].items() if k != "api_key"}
        self.models.append(self.model(body["model_name"], params=params, **body["model_info"]))
        return 200, body

    def update_model(self, exchange):
        body = exchange.json()
        model = next(m for m in self.models if m["model_info"]["id"] == body["model_info"]["id"])
        shown = {k: v for k, v in body["litellm_params"].items() if k != "api_key"}
        model["litellm_params"].update(shown)
        model["model_info"].update(body["model_info"])
        return 200, body

    def delete_model(self, exchange):
        doomed = exchange.json()["id"]
        self.models = [m for m in self.models if m["model_info"]["id"] != doomed]
        return 200, {"message": "deleted"}


def _query(exchange) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(exchange.path).query))
