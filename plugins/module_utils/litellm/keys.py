# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Virtual keys of LiteLLM: their fields, their rotation, and what must not collide.

LiteLLM's own rotation belongs to its paid edition. Here a key is rotated in steps of which each
leaves a state that the next run understands: the old key gets another alias, an end and a note of
where it came from in one request; then the new key is made; then, where no grace is wanted, the old
one is deleted.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    ServiceError,
)
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import client
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.resource import (
    LIMIT_SPEC,
    REPORTED,
    STATE_SPEC,
    Resource,
    limits,
    notes,
)

FIELDS = {
    "key_alias": {"type": "str", "no_log": False},
    **STATE_SPEC,
    "key": {"type": "str", "no_log": True},
    "models": {"type": "list", "elements": "str"},
    **LIMIT_SPEC,
    "team_id": {"type": "str"},
    "user_id": {"type": "str"},
    "allowed_routes": {"type": "list", "elements": "str"},
    "duration": {"type": "str"},
    "expires": {"type": "str"},
    "rotate": {"type": "bool", "default": False},
    "rotate_after": {"type": "str"},
    "grace_period": {"type": "str"},
}
# What a replaced key takes with it, its end besides.
CARRIED = (
    "models",
    "max_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "team_id",
    "user_id",
    "allowed_routes",
    "spend",
    "metadata",
)
# The note by which a key that was rotated away is known.
ROTATED_FROM = "rotated_from"
TOLERANCE_SECONDS = 120  # LiteLLM counts a duration from when the request arrived
# Where no grace is wanted, the old key still ends by itself should the task die half-way.
SAFETY_SECONDS = 3600


class LiteLLMKeys(Resource):
    """Keys, each known by its alias."""

    kind, name, many = "key", "key_alias", "keys"

    def read(self, name):
        """Return all keys, or those whose alias holds the name."""
        return self.client.keys_around(name) if name else self.client.keys()

    def identity(self, current):
        """Return the key's hash."""
        return str(current.get("token"))

    def desired(self, step):
        """Return the fields that the options fix."""
        options, current = step.options, step.current
        wanted = limits(options)
        for field in ("models", "allowed_routes"):
            if options[field] is not None:
                wanted[field] = options[field]
        for field in ("team_id", "user_id"):
            if options[field] is not None:
                wanted[field] = options[field] or None
        wanted.update(notes(options["metadata"], step, self.notes_of(current)))
        return {**wanted, **_end(options, current.get("created_at"))}

    def is_same(self, field, before, after):
        """Two moments are the same within what a request takes."""
        if field != "expires" or before is None or after is None:
            return before == after
        distance = client.point_in_time(before) - client.point_in_time(after)
        return abs(distance.total_seconds()) <= TOLERANCE_SECONDS

    def diff(self, step):
        """Note what differs, what is to be rotated, and old keys that have had their time."""
        super().diff(step)
        if step.current and self._is_to_be_replaced(step):
            step.difference.compare("key", "old", "new", secret=True)
            step.act = self.replace
            step.wanted.update(_end(step.options, None))
        ended = [key for key in self._old_keys(step.name) if _has_ended(key)]
        if ended:
            step.difference.compare("old_keys", sorted(key["key_alias"] for key in ended), [])
            step.act = self._and_delete(step.act, ended)
        routes = step.options["allowed_routes"]
        for key in self._old_keys(step.name):
            before = sorted(key.get("allowed_routes") or [])
            if routes is not None and before != sorted(routes) and not _has_ended(key):
                step.difference.compare(f"allowed_routes of {key['key_alias']}", before, routes)
                step.act = self._and_restrict(step.act, key)

    def _is_to_be_replaced(self, step):
        options, current = step.options, step.current
        value = options["key"]
        if value:
            is_other = client.token_hash(value) != current.get("token")
            step.extra["rotation_due"] = not is_other and self._is_too_old(step)
            return is_other
        return options["rotate"] or self._is_too_old(step)

    def _is_too_old(self, step):
        limit, made_at = step.options["rotate_after"], step.current.get("created_at")
        if not limit or not made_at:
            return False
        return client.after(client.point_in_time(made_at), limit) <= _now()

    def _load(self, names):
        super()._load(names)
        self._old = {}
        for key in self.objects:
            self._old.setdefault(self.notes_of(key).get(ROTATED_FROM), []).append(key)

    def _old_keys(self, alias):
        """Return the keys that the one with the alias was rotated from."""
        return self._old.get(alias, [])

    def surplus(self, names):
        """Return keys that are ours and not named; old keys go when their successor does."""
        own = super().surplus(names)
        known = {*names, *own}
        return [name for name in own if self._successor(name) not in known]

    def _successor(self, name):
        return self.notes_of(self.find(name)).get(ROTATED_FROM)

    def remove(self, step):
        """Note that the key goes, and what it was rotated from."""
        super().remove(step)
        old = sorted(key["key_alias"] for key in self._old_keys(step.name))
        if old:
            step.difference.compare("old_keys", old, [])
            step.act = self.delete

    def check(self, steps):
        """Refuse what LiteLLM would take though it cannot work."""
        changed = [step for step in steps if step.act and step.options["state"] == "present"]
        models = {
            model
            for step in changed
            if "models" in step.difference.fields
            for model in step.wanted["models"]
        }
        if models and self.params["validate_models"]:
            self.client.check_models(sorted(models))
        if self.params["validate_owners"]:
            self._check_owners(changed)
        values = {}
        for step in changed:
            _check_end(step)
            if {"key", "key_alias"} & set(step.difference.fields) and step.options["key"]:
                self._check_unused(step, values)

    def _check_owners(self, steps):
        def named(field):
            return {s.wanted[field] for s in steps if field in s.difference.fields} - {None}

        teams, users = named("team_id"), named("user_id")
        known_teams = {team["team_id"] for team in self.client.teams()} if teams else ()
        for team_id in sorted(teams):
            client.check_team(team_id, known_teams)
        known_users = {user["user_id"] for user in self.client.users()} if users else ()
        for user_id in sorted(users):
            client.check_user(user_id, known_users)

    def _check_unused(self, step, values):
        """LiteLLM would silently turn the key that has this value into this one."""
        value = client.token_hash(step.options["key"])
        if self.is_list:
            others = [key for key in self.objects if key.get("token") == value]
        else:
            others = self.client.keys(key_hash=value)
        aliases = [key.get("key_alias") or "(without alias)" for key in others]
        other = [*aliases, *([values[value]] if value in values else [])]
        values[value] = step.name
        if other:
            raise Refused(
                f"the value given for {step.name} is that of the key {other[0]}",
                "a value of its own for every key",
                "generate another value, or delete that key first",
            )

    def create(self, step):
        """Make the key; where a rotation died half-way, with what the old one had."""
        old = self._old_keys(step.name)
        carried = {name: old[-1].get(name) for name in CARRIED} if old else {}
        if old:
            carried["metadata"] = _without_mark(carried["metadata"])
        self._generate(step, {**carried, **step.wanted})

    def update(self, step):
        """Send what differs."""
        changed = {n: v for n, v in step.wanted.items() if n in step.difference.fields}
        if changed:
            self._change(step.current["token"], **changed)

    def replace(self, step):
        """Make the new key while the old one works; an alias stands for one key at a time."""
        current, old = step.current, step.current["token"]
        end = {"expires": _moment(current.get("expires"))}
        grace = _grace(step.options)
        noted = self.notes_of(current)
        self._change(
            old,
            key_alias=f"{step.name}-old-{old[:8]}",
            metadata={**noted, ROTATED_FROM: step.name},
            expires=_earlier(end["expires"], grace or SAFETY_SECONDS),
        )
        try:
            carried = {name: current.get(name) for name in CARRIED}
            self._generate(step, {**carried, **end, **step.wanted})
        except ServiceError:
            # Should this fail, too, the old key ends by itself and the next run goes on from it.
            with contextlib.suppress(ServiceError):
                self._change(old, key_alias=step.name, metadata=noted, **end)
            raise
        if not grace:
            self.client.revoke([old])

    def delete(self, step):
        """Delete the key and those it was rotated from."""
        doomed = [step.current] if step.current else []
        self.client.revoke([key["token"] for key in [*doomed, *self._old_keys(step.name)]])

    def _and_delete(self, act, keys):
        def both(step):
            if act:
                act(step)
            self.client.revoke([key["token"] for key in keys])

        return both

    def _and_restrict(self, act, key):
        def both(step):
            if act:
                act(step)
            self._change(key["token"], allowed_routes=step.options["allowed_routes"])

        return both

    def _generate(self, step, fields):
        value = step.options["key"]
        request = {**_request(fields), "key_alias": step.name, **({"key": value} if value else {})}
        made = self.client.post(
            "/key/generate", {name: field for name, field in request.items() if field is not None}
        )
        if not value:
            step.extra["key"] = made.get("key")

    def _change(self, token, **fields):
        request = {"key": token, **_request(fields)}
        if "expires" in fields and fields["expires"] is None:
            request["duration"] = "-1"
        self.client.post("/key/update", request)

    def report(self, name, current):
        """Return what the result says of a key."""
        return {
            "key_alias": name,
            "key_hash": current.get("token") or "",
            "key_info": {field: current.get(field) for field in REPORTED["key"]} if current else {},
            "old_keys": sorted(key["key_alias"] for key in self._old_keys(name)),
            "rotation_due": False,
        }

    def run(self):
        """Do what the task asks and return its result."""
        result = super().run()
        if self.is_list:
            due = [key["key_alias"] for key in result["keys"] if key["rotation_due"]]
            result["rotation_due"] = due
        return result

    def made(self):
        """Return what must not be lost when a task fails half-way: values told only once."""
        values = [
            {"key_alias": step.name, "key": step.extra["key"]}
            for step in self.steps
            if step.extra.get("key")
        ]
        if self.is_list:
            return {"keys": values} if values else {}
        return values[0] if values else {}


def _end(options, made_at):
    """Return the moment that the options ask for, nothing when they ask for none."""
    if options["expires"] and options["duration"]:
        raise Refused(
            f"{options['key_alias']} has both expires and duration", "one of the two", "choose one"
        )
    if options["expires"]:
        return {"expires": client.point_in_time(options["expires"])}
    duration = options["duration"]
    if not duration:
        return {}
    if duration == "never":
        return {"expires": None}
    return {"expires": client.after(_moment(made_at) or _now(), duration)}


def _check_end(step):
    moment = step.wanted.get("expires")
    if (
        moment
        and moment <= _now()
        and {"expires", "key", "key_alias"} & set(step.difference.fields)
    ):
        raise Refused(
            f"the key {step.name} would have expired at {moment.isoformat()}",
            "a moment in the future",
            "correct expires or duration, or make the key absent",
        )


def _request(fields):
    """Return fields as LiteLLM takes them: an end is sent as seconds from now."""
    request = {name: value for name, value in fields.items() if name != "expires"}
    if fields.get("expires"):
        left = int((fields["expires"] - _now()).total_seconds())
        request["duration"] = f"{max(left, 1)}s"
    return request


def _grace(options):
    """Return for how many seconds an old value goes on."""
    text = options["grace_period"]
    if text is None:
        text = "0s" if options["key"] else "24h"
    return client.seconds(text)


def _earlier(moment, seconds):
    limit = client.after(_now(), f"{seconds}s")
    return min(moment, limit) if moment else limit


def _without_mark(noted):
    return {name: value for name, value in (noted or {}).items() if name != ROTATED_FROM}


def _has_ended(key):
    moment = _moment(key.get("expires"))
    return moment is not None and moment <= _now()


def _moment(text):
    return client.point_in_time(text) if text else None


def _now():
    return datetime.now(timezone.utc)  # noqa: UP017 - targets may run Python 3.9
