#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_key
short_description: A virtual key of LiteLLM
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Makes, changes or deletes the virtual key with an alias.
  - An option that is left out leaves its field as it is.
  - Models, teams and key values that LiteLLM would take without a word, though they are wrong or
    collide, are refused.
extends_documentation_fragment:
  - intranet.mcp.attributes
  - intranet.mcp.litellm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Values of keys are never shown.
  idempotent:
    support: full
options:
  key_alias:
    description: The name that stands for the key. LiteLLM must have at most one key with it.
    type: str
    required: true
  state:
    description: Whether the key is to be there.
    type: str
    choices: [present, absent]
    default: present
  key:
    description:
      - The key's value, beginning with V(sk-). Without it, LiteLLM chooses one.
      - When the key there has another value, it is replaced and its other fields, what was spent
        included, are carried over. The old value is deleted once the new one works.
    type: str
  models:
    description: Models the key may use. An empty list means all that its team may use.
    type: list
    elements: str
  max_budget:
    description: What may be spent with the key, in US dollars. V(-1) takes the limit away.
    type: float
  budget_duration:
    description: Period after which the budget starts anew, for example V(30d). Empty for never.
    type: str
  tpm_limit:
    description: Tokens a minute. V(-1) takes the limit away.
    type: int
  rpm_limit:
    description: Requests a minute. V(-1) takes the limit away.
    type: int
  team_id:
    description: The team the key belongs to.
    type: str
  duration:
    description:
      - How long the key is valid, counted from its creation, for example V(90d). V(never) for
        without end.
    type: str
  expires:
    description: Until when the key is valid, in ISO 8601; UTC unless it says otherwise.
    type: str
  metadata:
    description:
      - What to note with the key. Other notes stay; a value of V(null) removes a note.
    type: dict
  validate_models:
    description: Whether to refuse models that LiteLLM does not have.
    type: bool
    default: true
notes:
  - Set C(no_log) on a task that makes a key without O(key), since the result holds its value.
"""

EXAMPLES = r"""
- name: A developer's key, its value kept with the site's secrets
  intranet.mcp.litellm_key:
    litellm_url: http://127.0.0.1:4000
    master_key_file: /etc/intranet-mcp/secrets/litellm_master_key
    key_alias: alice
    key: "{{ lookup('intranet.mcp.secret', 'key_alice', prefix='sk-') }}"
    models: [qwen3-8b]
    max_budget: 20
    budget_duration: 30d
    rpm_limit: 60
    duration: 180d
    metadata:
      mail: alice@example.internal

- name: A key whose value LiteLLM chooses
  intranet.mcp.litellm_key:
    master_key: "{{ master_key }}"
    key_alias: ci
    models: [qwen3-8b]
  register: ci_key
  no_log: true

- name: No such key any more
  intranet.mcp.litellm_key:
    master_key: "{{ master_key }}"
    key_alias: bob
    state: absent
"""

RETURN = r"""
key_alias:
  description: The key's alias.
  returned: success
  type: str
  sample: alice
key:
  description: The value LiteLLM chose. It cannot be had again later.
  returned: when a key was made without O(key)
  type: str
  sample: sk-vK1...
key_hash:
  description: What LiteLLM calls the key in its tables and logs. Empty without a key.
  returned: success
  type: str
  sample: 837e17519f44683334df5291321d97b8bf1098cd490e49e215f6fea935aa28be
key_info:
  description: The key's fields after the run, in check mode before it. Empty without a key.
  returned: success
  type: dict
  contains:
    models:
      description: Models the key may use.
      type: list
      elements: str
    max_budget:
      description: What may be spent.
      type: float
    budget_duration:
      description: Period of the budget.
      type: str
    tpm_limit:
      description: Tokens a minute.
      type: int
    rpm_limit:
      description: Requests a minute.
      type: int
    team_id:
      description: The team the key belongs to.
      type: str
    expires:
      description: Until when the key is valid.
      type: str
    created_at:
      description: When it was made.
      type: str
    spend:
      description: What was spent so far.
      type: float
    metadata:
      description: What is noted with it.
      type: dict
  sample:
    models: [qwen3-8b]
    max_budget: 20.0
    budget_duration: 30d
    tpm_limit: null
    rpm_limit: 60
    team_id: null
    expires: "2027-05-22T10:00:00Z"
    created_at: "2026-11-23T10:00:00Z"
    spend: 0.0
    metadata: {managed_by: intranet.mcp, mail: alice@example.internal}
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: unauthorized
    found: LiteLLM at http://127.0.0.1:4000 refuses the master key (HTTP 401)
    expected: the key of general_settings.master_key
    action: correct master_key or master_key_file
"""

from datetime import datetime, timezone

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils import _litellm
from ansible_collections.intranet.mcp.plugins.module_utils._diff import Difference
from ansible_collections.intranet.mcp.plugins.module_utils._errors import (
    Refused,
    ServiceError,
    fail,
)

REPORTED = (
    "models",
    "max_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "team_id",
    "expires",
    "created_at",
    "spend",
    "metadata",
)
# What a replaced key takes with it.
CARRIED = (
    "models",
    "max_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "team_id",
    "spend",
    "metadata",
)
LIMITS = ("max_budget", "tpm_limit", "rpm_limit")
TOLERANCE_SECONDS = 120  # LiteLLM counts a duration from when the request arrived


class LiteLLMKey:
    """Brings one key from its current to its desired state."""

    def __init__(self, module):
        self.module, self.params = module, module.params
        self.alias = self.params["key_alias"]
        self.client = _litellm.client(self.params)
        self.difference = Difference()
        self.new_value = None

    def run(self):
        """Do what the task asks and return its result."""
        self._validate()
        current = self.read()
        if self.params["state"] == "absent":
            self.difference.compare("key_alias", current.get("key_alias"), None)
            change = self._delete
        else:
            change = self.diff(current)
        is_changed = not self.difference.is_empty
        if is_changed and not self.module.check_mode:
            change(current)
            current = self.read()
        return self._result(is_changed, current)

    def read(self):
        """Return the key as LiteLLM has it, empty when there is none."""
        found = self.client.keys(key_alias=self.alias)
        if len(found) > 1:
            raise Refused(
                f"LiteLLM has {len(found)} keys with the alias {self.alias}",
                "at most one",
                "rename or delete the others (their hashes: "
                f"{', '.join(str(key.get('token'))[:12] for key in found)})",
            )
        return found[0] if found else {}

    def desired(self, current):
        """Return the fields that the options fix, as LiteLLM keeps them."""
        wanted = {name: self.params[name] for name in ("models", "team_id")}
        for name in LIMITS:
            limit = self.params[name]
            wanted[name] = limit
            if limit is not None and limit < 0:
                wanted[name] = _NOTHING
        wanted["budget_duration"] = self.params["budget_duration"]
        if wanted["budget_duration"] == "":
            wanted["budget_duration"] = _NOTHING
        notes = self._metadata(current)
        wanted["metadata"] = notes if notes != current.get("metadata") else None
        wanted["expires"] = self._expires(current)
        given = {name: value for name, value in wanted.items() if value is not None}
        return {name: None if value is _NOTHING else value for name, value in given.items()}

    def diff(self, current):
        """Note what differs and return the method that mends it."""
        wanted = self.desired(current)
        self.difference.compare("key_alias", current.get("key_alias"), self.alias)
        for name, value in wanted.items():
            before, after = _comparable(name, current.get(name)), _comparable(name, value)
            if name == "expires" and _is_same_time(before, after):
                continue
            self.difference.compare(name, before, after)
        self._check(wanted)
        if not current:
            return self._create
        value = self.params["key"]
        if value and _litellm.token_hash(value) != current.get("token"):
            self._check_unused(value)
            self.difference.compare("key", "old", "new", secret=True)
            return self._replace
        return self._update

    def _validate(self):
        if not self.alias or self.alias != self.alias.strip():
            raise Refused(
                f"key_alias is {self.alias!r}",
                "a name without blanks around it",
                "give every key an alias of its own: keys without one collide",
            )

    def _check(self, wanted):
        """Refuse what LiteLLM would take though it cannot work."""
        changes = self.difference.fields
        if "models" in changes and wanted.get("models") and self.params["validate_models"]:
            self.client.check_models(wanted["models"])
        if "team_id" in changes and wanted.get("team_id"):
            self.client.check_team(wanted["team_id"])
        if "key_alias" in changes and self.params["key"]:
            self._check_unused(self.params["key"])

    def _check_unused(self, value):
        """LiteLLM would silently turn the key that has this value into this one."""
        for other in self.client.keys(key_hash=_litellm.token_hash(value)):
            raise Refused(
                f"the value given for {self.alias} is that of the key "
                f"{other.get('key_alias') or '(without alias)'}",
                "a value of its own for every key",
                "generate another value, or delete that key first",
            )

    def _metadata(self, current):
        notes = dict(current.get("metadata") or ({} if current else _litellm.MANAGED_BY))
        for name, value in (self.params["metadata"] or {}).items():
            if value is None:
                notes.pop(name, None)
            else:
                notes[name] = value
        return notes

    def _expires(self, current):
        """Return the moment that the options ask for, None when they ask for none."""
        if self.params["expires"]:
            return _litellm.point_in_time(self.params["expires"])
        duration = self.params["duration"]
        if not duration:
            return None
        if duration == "never":
            return _NOTHING
        made_at = current.get("created_at")
        start = _litellm.point_in_time(made_at) if made_at else _now()
        return _litellm.after(start, duration)

    def _create(self, current):
        request = {"key_alias": self.alias, **self._request(self.desired(current))}
        self._generate({name: value for name, value in request.items() if value is not None})

    def _update(self, current):
        wanted = self.desired(current)
        changed = {name: wanted[name] for name in self.difference.fields}
        self.client.post("/key/update", {"key": current["token"], **self._request(changed, True)})

    def _replace(self, current):
        """Make the new key before the old one goes; an alias stands for one key at a time."""
        carried = {name: current.get(name) for name in CARRIED}
        if current.get("expires"):
            carried["expires"] = _litellm.point_in_time(current["expires"])
        request = {"key_alias": self.alias, **self._request({**carried, **self.desired(current)})}
        old = current["token"]
        self.client.post("/key/update", {"key": old, "key_alias": f"{self.alias}-old-{old[:8]}"})
        try:
            self._generate({name: value for name, value in request.items() if value is not None})
        except ServiceError:
            self.client.post("/key/update", {"key": old, "key_alias": self.alias})
            raise
        self.client.post("/key/delete", {"keys": [old]})

    def _generate(self, request):
        value = self.params["key"]
        made = self.client.post("/key/generate", {**request, **({"key": value} if value else {})})
        self.new_value = None if value else made.get("key")

    def _request(self, wanted, is_update=False):
        """Return fields as LiteLLM takes them: an expiry is sent as seconds from now."""
        request = dict(wanted)
        if "expires" not in request:
            return request
        moment = request.pop("expires")
        if moment is None:
            return {**request, "duration": "-1"} if is_update else request
        left = int((moment - _now()).total_seconds())
        if left <= 0:
            raise Refused(
                f"the key {self.alias} would have expired at {moment.isoformat()}",
                "a moment in the future",
                "correct expires or duration, or make the key absent",
            )
        return {**request, "duration": f"{left}s"}

    def _delete(self, current):
        self.client.post("/key/delete", {"keys": [current["token"]]})

    def _result(self, is_changed, current):
        result = {
            "changed": is_changed,
            "key_alias": self.alias,
            "key_hash": current.get("token") or "",
            "key_info": {name: current.get(name) for name in REPORTED} if current else {},
            "diff": self.difference.as_diff(),
        }
        return {**result, "key": self.new_value} if self.new_value else result


_NOTHING = object()  # asked to be empty, as opposed to not asked for


def _comparable(name, value):
    if name == "models":
        return sorted(value or [])
    if name == "max_budget" and value is not None:
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def _is_same_time(before, after):
    if before is None or after is None:
        return before == after
    distance = _litellm.point_in_time(before) - _litellm.point_in_time(after)
    return abs(distance.total_seconds()) <= TOLERANCE_SECONDS


def _now():
    return datetime.now(timezone.utc)  # noqa: UP017 - targets may run Python 3.9


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "key_alias": {"type": "str", "required": True, "no_log": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "key": {"type": "str", "no_log": True},
            "models": {"type": "list", "elements": "str"},
            "max_budget": {"type": "float"},
            "budget_duration": {"type": "str"},
            "tpm_limit": {"type": "int"},
            "rpm_limit": {"type": "int"},
            "team_id": {"type": "str"},
            "duration": {"type": "str"},
            "expires": {"type": "str"},
            "metadata": {"type": "dict"},
            "validate_models": {"type": "bool", "default": True},
            **_litellm.CONNECTION_SPEC,
        },
        mutually_exclusive=[
            ("duration", "expires"),
            *_litellm.CONNECTION_RULES["mutually_exclusive"],
        ],
        required_one_of=_litellm.CONNECTION_RULES["required_one_of"],
        supports_check_mode=True,
    )
    try:
        result = LiteLLMKey(module).run()
    except ServiceError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
