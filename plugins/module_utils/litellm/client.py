# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Client of LiteLLM's management API: requests as its administrator, errors in plain words."""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import json
import re
import urllib.parse
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient, Reply

# What modules of this collection write into the metadata of objects they make, so that later runs
# can tell them from objects made by hand.
MANAGED_BY = {"managed_by": "intranet.mcp"}
# Says whether it reaches its database.
READINESS = "/health/readiness"

SPECIAL_MODELS = {"all-team-models", "all-proxy-models", "no-default-models"}

_DATABASE_WORDS = (
    "database server",
    "no connected db",
    "not connected to db",
    "database system is",
    "engine is not yet connected",
    "prisma",
    "the table `",
    "connection pool",
    "too many connections",
    "too many clients",
)

# What LiteLLM takes as the period of a budget.
BUDGET_PERIOD = re.compile(r"[1-9]\d*(s|m|h|d|w|mo)")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

CONNECTION_SPEC = {
    "litellm_url": {"type": "str", "default": "http://127.0.0.1:4000"},
    "master_key": {"type": "str", "no_log": True},
    "master_key_file": {"type": "path", "no_log": False},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "timeout": {"type": "int", "default": 30},
}
CONNECTION_RULES = {
    "mutually_exclusive": [("master_key", "master_key_file")],
    "required_one_of": [("master_key", "master_key_file")],
}


def client(params: dict[str, Any]) -> LiteLLMClient:
    """Return a client for a module's connection options."""
    key = errors.read_key_file(params["master_key_file"]) or params["master_key"]
    http = HttpClient(
        params["litellm_url"],
        "LiteLLM",
        "litellm_url",
        headers={"Authorization": f"Bearer {key}"},
        timeout=params["timeout"],
        validate_certs=params["validate_certs"],
        ca_path=params["ca_path"],
    )
    return LiteLLMClient(http, key or "")


class LiteLLMClient:
    """One LiteLLM proxy."""

    def __init__(self, http: HttpClient, master_key: str = "") -> None:
        self.http = http
        self._master_key = master_key

    def __repr__(self) -> str:
        return f"LiteLLMClient({self.http.url})"

    def get(self, path: str, **query: Any) -> Any:
        """Return a decoded reply."""
        return self._checked("GET", path, self.http.request("GET", _with(path, query)))

    def post(self, path: str, body: dict[str, Any], method: str = "POST") -> Any:
        """Send a change and return the decoded reply."""
        return self._checked(method, path, self.http.request(method, path, body))

    def _pages(self, path: str, items: str, **query: Any) -> list[dict[str, Any]]:
        """Return the items of all pages of a list."""
        found: list[dict[str, Any]] = []
        page = pages = 1
        while page <= pages:
            reply = self.get(path, page=page, **query)
            found.extend(item for item in reply.get(items) or [] if isinstance(item, dict))
            pages, page = int(reply.get("total_pages") or 0), page + 1
        return found

    def keys(self, **filters: str) -> list[dict[str, Any]]:
        """Return keys with these properties (`key_alias`, `key_hash`, ...), none of their values.

        What the server ignores would match every key, so the filters are applied here again.
        """
        columns = {"key_hash": "token"}
        found = self._pages("/key/list", "keys", return_full_object="true", size=100, **filters)
        return [
            key
            for key in found
            if all(key.get(columns.get(name, name)) == value for name, value in filters.items())
        ]

    def keys_around(self, alias: str) -> list[dict[str, Any]]:
        """Return the keys whose alias holds this text: a key, and those it was rotated from."""
        query = {"return_full_object": "true", "size": 100, "substring_matching": "true"}
        return self._pages("/key/list", "keys", key_alias=alias, **query)

    def teams(self, **filters: str) -> list[dict[str, Any]]:
        """Return teams; `team_alias` and `team_id` narrow the list (an alias by its parts)."""
        return self._pages("/v2/team/list", "teams", page_size=100, **filters)

    def users(self, **filters: str) -> list[dict[str, Any]]:
        """Return users; `user_ids` narrows the list (one id by its parts)."""
        return self._pages("/user/list", "users", page_size=100, **filters)

    def revoke(self, tokens: Iterable[str]) -> None:
        """Delete keys so that no replica accepts them from memory any more.

        LiteLLM tells its other replicas (through Redis) of a blocked key, but not of a deleted one.
        """
        doomed = list(tokens)
        for token in doomed:
            self.post("/key/block", {"key": token})
        if doomed:
            self.post("/key/delete", {"keys": doomed})

    def deployments(self) -> list[dict[str, Any]]:
        """Return every deployment of every model, of the file and of the database, no secrets."""
        return self._pages("/v2/model/info", "data", size=100)

    def models(self) -> list[str]:
        """Return the names under which models can be asked for, wildcards and groups included."""
        reply = self.get(
            "/v1/models", return_wildcard_routes="true", include_model_access_groups="true"
        )
        return [model["id"] for model in reply.get("data") or []]

    def check_models(self, wanted: list[str]) -> None:
        """Refuse names of models that LiteLLM does not have: it would take them without a word."""
        known = self.models()
        missing = [name for name in wanted if not is_known(name, known)]
        if missing:
            raise errors.Unknown(
                f"LiteLLM has no model {', '.join(missing)}",
                f"models it has ({', '.join(sorted(known)) or 'none'})",
                "add the model to LiteLLM first, or correct the name",
            )

    def fingerprint(self, secret: dict[str, Any]) -> str:
        """Return what tells two secrets apart, worthless to who lacks the master key."""
        text = json.dumps(secret, sort_keys=True)
        return hmac.new(self._master_key.encode(), text.encode(), hashlib.sha256).hexdigest()[:32]

    def version(self) -> str:
        """Return LiteLLM's version, empty where it does not tell."""
        return str(self.get(f"{READINESS}/details").get("litellm_version") or "")

    def is_ready(self) -> bool:
        """Say whether LiteLLM reaches its database."""
        reply = self.http.request("GET", READINESS)
        body = reply.json()
        return reply.ok and isinstance(body, dict) and body.get("db") == "connected"

    def _checked(self, method: str, path: str, reply: Reply) -> Any:
        body = reply.json()
        if reply.ok and body is not None:
            return body
        message = _message(body) or reply.text[:200]
        if reply.status in (404, 410) and not isinstance(body, dict):
            raise self._unexpected(reply)
        # With its database away LiteLLM answers 401, 400 or 500, and its readiness lags behind.
        is_away = reply.status == 503 or _names_database(message)
        if is_away or not self.is_ready():
            raise errors.NotReady(
                f"LiteLLM at {self.http.url} has no working database "
                f"(HTTP {reply.status}: {message[:200]})",
                f"a proxy that is ready ({READINESS})",
                "start PostgreSQL, check DATABASE_URL, migrations and max_connections, try again",
            )
        if "STORE_MODEL_IN_DB" in message:
            raise errors.Refused(
                f"LiteLLM at {self.http.url} keeps no models in its database",
                "general_settings.store_model_in_db: true",
                "set litellm_store_models: true (or that setting), or keep the model in the file",
            )
        # A 403 to a change says why; a read is forbidden only without a valid key.
        if reply.status == 401 or (reply.status == 403 and method == "GET"):
            raise errors.Unauthorized(
                f"LiteLLM at {self.http.url} refuses the master key (HTTP {reply.status})",
                "the key of general_settings.master_key",
                "correct master_key or master_key_file",
            )
        kind = errors.Unknown if reply.status == 404 else errors.Refused
        if reply.ok or reply.status >= 500:
            raise self._unexpected(reply)
        raise kind(
            f"LiteLLM refuses {method} {path} (HTTP {reply.status}: {message[:300]})",
            "a request it accepts",
            "correct the option it names",
        )

    def _unexpected(self, reply: Reply) -> errors.Unexpected:
        return errors.Unexpected(
            f"{self.http.url} answered HTTP {reply.status} {reply.text[:200]!r}",
            "LiteLLM's management API",
            "check that litellm_url is LiteLLM itself, without /v1, and read its log",
        )


def check_team(team_id: str, known: Iterable[str]) -> None:
    """Refuse a team that LiteLLM does not have: an administrator may name any."""
    if team_id not in known:
        raise errors.Unknown(
            f"LiteLLM has no team {team_id}",
            "the id of a team it has",
            "make the team first, or correct team_id",
        )


def check_user(user_id: str, known: Iterable[str]) -> None:
    """Refuse a user that LiteLLM does not have: it would take the name without a word."""
    if user_id not in known:
        raise errors.Unknown(
            f"LiteLLM has no user {user_id}",
            "the id of a user it has",
            "make the user first, or correct user_id",
        )


def token_hash(key: str) -> str:
    """Return what LiteLLM keeps of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def seconds(duration: str) -> int:
    """Return the seconds of a duration such as `30d`."""
    match = re.fullmatch(r"(\d+)([smhdw])", duration)
    if match is None:
        raise errors.Refused(
            f"the duration {duration!r}",
            "a number and one of s, m, h, d, w",
            "write it so, for example 30d",
        )
    return int(match.group(1)) * _SECONDS[match.group(2)]


def point_in_time(text: str) -> datetime:
    """Return a moment; without a time zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise errors.Refused(
            f"the time {text!r}",
            "a date or time of ISO 8601",
            "write it so, for example 2027-01-31T00:00:00Z",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)  # noqa: UP017


def after(moment: datetime, duration: str) -> datetime:
    """Return the moment that much later."""
    return moment + timedelta(seconds=seconds(duration))


def is_known(name: str, known: list[str]) -> bool:
    """Say whether a model has this name, a wildcard included."""
    if name in SPECIAL_MODELS or name in known:
        return True
    return any("*" in route and fnmatch.fnmatchcase(name, route) for route in known)


def _names_database(message: str) -> bool:
    return any(word in message.lower() for word in _DATABASE_WORDS)


def _message(body: Any) -> str:
    """Return the text of an error; LiteLLM wraps it in several ways."""
    while isinstance(body, dict):
        body = body.get("error") or body.get("detail") or body.get("message") or ""
    return str(body) if body else ""


def _with(path: str, query: dict[str, Any]) -> str:
    return f"{path}?{urllib.parse.urlencode(query)}" if query else path
