"""Stage 4: may this caller use this? Ordered rules; the first that matches decides."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache

import msgspec

from mcp_gateway.identify import Principal
from mcp_gateway.readings import readings
from mcp_gateway.settings import Policy, Rule

MAX_REMEMBERED = 20_000
MAX_REMEMBERED_NAME = 200


class Verdict(msgspec.Struct, frozen=True):
    """A decision and the reason that the caller is told."""

    allowed: bool
    reason: str


@lru_cache(maxsize=4096)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(g) for g in globs) or r"(?!)")


def matches(value: str, globs: list[str]) -> bool:
    """Whether any glob matches; a leading `!` excludes and wins."""
    if globs == ["*"]:
        return True
    positive = tuple(g for g in globs if not g.startswith("!"))
    negative = tuple(g[1:] for g in globs if g.startswith("!"))
    if negative and _pattern(negative).match(value):
        return False
    if not positive:
        return bool(negative)
    return bool(_pattern(positive).match(value))


class Authorization:
    """The policy, with its decisions remembered."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._remembered: dict[tuple[Principal, str, str, str], Verdict] = {}

    def decide(self, who: Principal, server: str, kind: str, name: str) -> Verdict:
        """Whether `who` may use `name` (kind: tools, prompts or resources) of `server`."""
        key = (who, server, kind, name)
        verdict = self._remembered.get(key)
        if verdict is None:
            verdict = self._decide(who, server, kind, name)
            if len(name) <= MAX_REMEMBERED_NAME:  # names come from callers: bound what is kept
                if len(self._remembered) > MAX_REMEMBERED:
                    self._remembered.clear()
                self._remembered[key] = verdict
        return verdict

    def _decide(self, who: Principal, server: str, kind: str, name: str) -> Verdict:
        if kind != "resources" or not self._may_refuse_resources(who, server):
            return self._first_rule(who, server, kind, name)
        spellings = readings(name)
        if spellings is None:
            return Verdict(False, "policy: a URI without dot segments and backslashes is expected")
        verdicts = [self._first_rule(who, server, kind, spelling) for spelling in spellings]
        return next((v for v in verdicts if not v.allowed), verdicts[0])

    def _first_rule(self, who: Principal, server: str, kind: str, name: str) -> Verdict:
        for rule in self._policy.rules:
            if (
                _concerns(rule, who)
                and matches(server, rule.servers)
                and matches(name, getattr(rule, kind))
            ):
                return Verdict(rule.effect == "allow", f"rule {rule.name!r}")
        allowed = self._policy.default == "allow"
        return Verdict(allowed, f"policy default: {self._policy.default}")

    def sees_all(self, who: Principal, server: str) -> bool:
        """Whether nothing of `server` can be refused to `who` (so lists need no filter)."""
        for rule in self._policy.rules:
            if not _concerns(rule, who) or not matches(server, rule.servers):
                continue
            if rule.effect == "deny":
                return False
            if rule.tools == rule.prompts == rule.resources == ["*"]:
                return True
        return self._policy.default == "allow"

    def _may_refuse_resources(self, who: Principal, server: str) -> bool:
        """Whether it matters how a resource of `server` is named."""
        for rule in self._policy.rules:
            if not _concerns(rule, who) or not matches(server, rule.servers):
                continue
            if rule.effect == "deny" and rule.resources:
                return True
            if rule.effect == "allow" and rule.resources == ["*"]:
                return False
        return self._policy.default == "deny"

    def sees_any(self, who: Principal, server: str) -> bool:
        """Whether something of `server` may be open to `who`."""
        for rule in self._policy.rules:
            if not _concerns(rule, who) or not matches(server, rule.servers):
                continue
            if rule.effect == "allow":
                return True
            if rule.tools == rule.prompts == rule.resources == ["*"]:
                return False
        return self._policy.default == "allow"


def _concerns(rule: Rule, who: Principal) -> bool:
    """A rule without teams, keys and groups concerns everybody."""
    if not (rule.teams or rule.keys or rule.groups):
        return True
    return (
        bool(rule.teams and who.team and matches(who.team, rule.teams))
        or bool(rule.keys and matches(who.alias, rule.keys))
        or any(matches(g, rule.groups) for g in who.groups if rule.groups)
    )
