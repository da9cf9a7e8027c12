# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the modules for LiteLLM's keys, teams, users and models share.

A task names one object, or lists many. Everything is read and decided first, so that a task that
is refused has changed nothing; then what differs is written, in the order of the task.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.diff import Difference
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import client

LIMITS = ("max_budget", "tpm_limit", "rpm_limit")

STATE_SPEC = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}
LIMIT_SPEC = {
    "max_budget": {"type": "float"},
    "budget_duration": {"type": "str"},
    "tpm_limit": {"type": "int"},
    "rpm_limit": {"type": "int"},
    "metadata": {"type": "dict"},
}

_ALL = (
    "max_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "spend",
    "created_at",
    "metadata",
)
# What results tell of an object, by its kind.
REPORTED = {
    "key": ("models", "allowed_routes", "team_id", "user_id", "created_by", "expires", *_ALL),
    "team": ("models", "blocked", *_ALL),
    "user": ("user_email", "user_alias", "user_role", "teams", *_ALL),
}


def argument_spec(name: str, many: str, fields: dict, **more: dict) -> dict[str, Any]:
    """Return what AnsibleModule needs: one object's options, or a list of them under `many`."""
    listed = {name: {**fields[name], "required": True}}
    return {
        "argument_spec": {
            **fields,
            many: {
                "type": "list",
                "elements": "dict",
                "no_log": False,
                "options": {**fields, **listed},
            },
            "prune": {"type": "bool", "default": False},
            **more,
            **client.CONNECTION_SPEC,
        },
        "mutually_exclusive": [(name, many), *client.CONNECTION_RULES["mutually_exclusive"]],
        "required_one_of": [(name, many), *client.CONNECTION_RULES["required_one_of"]],
        "required_if": [("prune", True, (many,))],
        "supports_check_mode": True,
    }


class Step:
    """What is to be done with one object: nothing, while nothing differs."""

    def __init__(
        self,
        name: str,
        options: dict[str, Any],
        current: dict[str, Any],
        is_pruned: bool = False,
    ) -> None:
        self.name = name
        self.options = options
        self.current = current
        self.is_pruned = is_pruned
        self.wanted: dict[str, Any] = {}
        self.difference = Difference()
        self.act: Any = None
        self.extra: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Step({self.name}: {self.difference!r})"


class Resource:
    """One kind of object, brought from its current to its desired state."""

    kind = ""  # what messages call it
    name = ""  # the option, and LiteLLM's field, that stands for an object
    many = ""  # the option that lists objects

    def __init__(self, module: Any) -> None:
        self.module, self.params = module, module.params
        self.client = client.client(self.params)
        self.is_list = self.params[self.many] is not None
        self.objects: list[dict[str, Any]] = []
        self.steps: list[Step] = []
        self._by_name: dict[str, list[dict[str, Any]]] = {}

    # --- what a kind of object brings ---

    def read(self, name: str | None) -> list[dict[str, Any]]:
        """Return all objects, or at least those with the name."""
        raise NotImplementedError

    def desired(self, step: Step) -> dict[str, Any]:
        """Return the fields that the options fix, as LiteLLM keeps them."""
        raise NotImplementedError

    def check(self, steps: list[Step]) -> None:
        """Refuse what LiteLLM would take though it cannot work."""

    def create(self, step: Step) -> None:
        raise NotImplementedError

    def update(self, step: Step) -> None:
        raise NotImplementedError

    def delete(self, step: Step) -> None:
        raise NotImplementedError

    def report(self, name: str, current: dict[str, Any]) -> dict[str, Any]:
        """Return what the result says of an object, which may not be there."""
        raise NotImplementedError

    def notes_of(self, current: dict[str, Any]) -> dict[str, Any]:
        """Return an object's notes, where the mark of this collection stands."""
        return current.get("metadata") or {}

    # --- the same for all ---

    def run(self) -> dict[str, Any]:
        """Do what the task asks and return its result."""
        wanted = self.params[self.many] if self.is_list else [self.params]
        names = self._names(wanted)
        self._load(names)
        steps = self.steps = [self._step(options) for options in wanted]
        surplus = self.surplus(names)
        pruned = self._pruned(surplus) if self.params["prune"] else []
        self.check(steps)
        todo = [step for step in [*steps, *pruned] if step.act]
        if todo and not self.module.check_mode:
            for step in todo:
                step.act(step)
            self._load(names)
        return self._result(steps, pruned, surplus)

    def find(self, name: str) -> dict[str, Any]:
        """Return the object with the name, empty when there is none."""
        found = self._by_name.get(name, [])
        if len(found) > 1:
            raise Refused(
                f"LiteLLM has {len(found)} {self.kind}s with the {self.name} {name}",
                "at most one",
                "rename or delete the others (their ids: "
                f"{', '.join(self.identity(other)[:12] for other in found)})",
            )
        return found[0] if found else {}

    def identity(self, current: dict[str, Any]) -> str:
        """Return what LiteLLM itself calls the object."""
        return str(current.get(self.name))

    def is_same(self, field: str, before: Any, after: Any) -> bool:
        """Say whether two values of a field come to the same."""
        return before == after

    def is_ours(self, current: dict[str, Any]) -> bool:
        """Say whether this collection made the object."""
        return client.MANAGED_BY.items() <= self.notes_of(current).items()

    def surplus(self, names: list[str]) -> list[str]:
        """Return names of objects that are ours and that the task does not name."""
        if not self.is_list:
            return []
        return sorted({str(o[self.name]) for o in self.objects if self.is_ours(o)} - set(names))

    def diff(self, step: Step) -> None:
        """Note what differs, and what would mend it."""
        step.wanted = self.desired(step)
        step.difference.compare(self.name, step.current.get(self.name), step.name)
        for field, value in step.wanted.items():
            before, after = comparable(field, step.current.get(field)), comparable(field, value)
            if not self.is_same(field, before, after):
                step.difference.compare(field, before, after)
        if not step.difference.is_empty:
            step.act = self.update if step.current else self.create

    def remove(self, step: Step) -> None:
        """Note that the object goes."""
        if step.current:
            step.difference.compare(self.name, step.name, None)
            step.act = self.delete

    def _names(self, wanted: list[dict[str, Any]]) -> list[str]:
        names: list[str] = []
        for options in wanted:
            name = options[self.name]
            if not name or name != name.strip():
                raise Refused(
                    f"{self.name} is {name!r}",
                    "a name without blanks around it",
                    f"give every {self.kind} a name of its own: those without one collide",
                )
            if name in names:
                raise Refused(
                    f"{self.many} holds the {self.name} {name} twice",
                    f"one {self.kind} a name",
                    "rename one of the two, or merge them",
                )
            names.append(name)
        return names

    def _load(self, names: list[str]) -> None:
        self.objects = self.read(None if self.is_list else names[0])
        self._by_name = {}
        for current in self.objects:
            self._by_name.setdefault(str(current.get(self.name)), []).append(current)

    def _step(self, options: dict[str, Any]) -> Step:
        name = options[self.name]
        step = Step(name, options, self.find(name))
        if options["state"] == "absent":
            self.remove(step)
        else:
            self.diff(step)
        return step

    def _pruned(self, surplus: list[str]) -> list[Step]:
        steps = [Step(name, {}, self.find(name), is_pruned=True) for name in surplus]
        for step in steps:
            self.remove(step)
        return steps

    def _result(self, steps, pruned, surplus) -> dict[str, Any]:
        changes = {s.name: s.difference for s in [*steps, *pruned] if not s.difference.is_empty}
        results = [
            {
                **self.report(step.name, self.find(step.name)),
                **step.extra,
                "changed": step.name in changes,
            }
            for step in steps
        ]
        if not self.is_list:
            return {**results[0], "diff": steps[0].difference.as_diff()}
        return {
            "changed": bool(changes),
            self.many: results,
            "pruned": [step.name for step in pruned],
            "surplus": [] if self.params["prune"] else surplus,
            "diff": _merged(changes),
        }


class KeyOwner(Resource):
    """Something that keys belong to. LiteLLM deletes them with it, without a word, so an owner of
    keys that this collection did not make stays: `prune` leaves it, `absent` is refused."""

    owns_by = ""  # the field of a key that names its owner

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.kept: dict[str, list[str]] = {}

    def run(self) -> dict[str, Any]:
        """Do what the task asks and return its result."""
        result = super().run()
        return {**result, "kept": self.kept} if self.is_list else result

    def remove(self, step: Step) -> None:
        """Note that the object goes, unless somebody else's keys hold it."""
        foreign = self.foreign_keys(step.current) if step.current else []
        if foreign and step.is_pruned:
            self.kept[step.name] = foreign
        elif foreign:
            raise Refused(
                f"the {self.kind} {step.name} has keys of other making ({', '.join(foreign)})",
                f"none, since LiteLLM deletes the keys of a {self.kind} with it",
                "delete those keys, or give them another owner, first",
            )
        else:
            super().remove(step)

    def foreign_keys(self, current: dict[str, Any]) -> list[str]:
        """Return the keys of the owner that this collection did not make."""
        mark = client.MANAGED_BY.items()
        return sorted(
            str(key.get("key_alias") or str(key.get("token"))[:12])
            for key in self.client.keys(**{self.owns_by: str(current[self.owns_by])})
            if not mark <= (key.get("metadata") or {}).items()
        )


def limits(options: dict[str, Any]) -> dict[str, Any]:
    """Return the limits that the options fix; a negative number or an empty period lifts one."""
    wanted: dict[str, Any] = {}
    for name in LIMITS:
        if options[name] is not None:
            wanted[name] = options[name] if options[name] >= 0 else None
    period = options["budget_duration"]
    if period is not None:
        if period and not client.BUDGET_PERIOD.fullmatch(period):
            raise Refused(
                f"the period {period!r} of a budget",
                "a number and one of s, m, h, d, w, mo",
                "write it so, for example 30d",
            )
        wanted["budget_duration"] = period or None
    return wanted


def notes(given: dict[str, Any] | None, step: Step, current: dict[str, Any]) -> dict[str, Any]:
    """Return the notes as they should be, nothing when they are so; a null takes one away."""
    merged = dict(current or ({} if step.current else client.MANAGED_BY))
    for name, value in (given or {}).items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return {"metadata": merged} if merged != current else {}


def members_of(team: dict[str, Any]) -> list[str]:
    """Return the ids of a team's users."""
    return sorted(str(member.get("user_id")) for member in team.get("members_with_roles") or [])


def comparable(field: str, value: Any) -> Any:
    """Return a value so that equal ones compare as equal."""
    if field in ("models", "allowed_routes", "teams"):
        return sorted(value or [])
    if field == "max_budget" and value is not None:
        return float(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _merged(changes: dict[str, Difference]) -> dict[str, dict[str, Any]]:
    parts = {name: difference.as_diff() for name, difference in sorted(changes.items())}
    return {
        side: {name: part[side] for name, part in parts.items()} for side in ("before", "after")
    }
