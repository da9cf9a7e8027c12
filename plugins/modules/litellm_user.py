#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_user
short_description: Users of LiteLLM and the teams they are in
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Makes, changes or deletes one user, or all users of a list. No key is made with a user; that is
    what M(intranet.mcp.litellm_key) is for.
  - An option that is left out leaves its field as it is.
extends_documentation_fragment:
  - intranet.mcp.attributes
  - intranet.mcp.litellm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  user_id:
    description: The user's id, which keys name.
    type: str
  state: &state
    description:
      - Whether the user is to be there. LiteLLM deletes a user's keys with the user, so one who has
        keys which this collection did not make is not deleted, unless O(revoke_keys) says so.
    type: str
    choices: [present, absent]
    default: present
  user_email: &user_email
    description: The user's address. LiteLLM takes each address once, and never lets it go again.
    type: str
  user_alias: &user_alias
    description: A name for people.
    type: str
  user_role: &user_role
    description:
      - What the user may do in LiteLLM. A new user without it is V(internal_user_viewer), who uses
        the keys given to the user. V(internal_user) makes keys, too, for every model and without a
        budget.
    type: str
    choices: [proxy_admin, proxy_admin_viewer, internal_user, internal_user_viewer]
  max_budget: &max_budget
    description: What may be spent with keys without a team, in US dollars. V(-1) lifts it.
    type: float
  budget_duration: &budget_duration
    description: Period after which the budget is reset, for example V(30d). Empty for never.
    type: str
  tpm_limit: &tpm_limit
    description: Tokens a minute. V(-1) takes the limit away.
    type: int
  rpm_limit: &rpm_limit
    description: Requests a minute. V(-1) takes the limit away.
    type: int
  metadata: &metadata
    description:
      - What to note with the user. Other notes stay; a value of V(null) removes a note.
    type: dict
  teams: &teams
    description: Ids of the teams the user is in.
    type: list
    elements: str
  users:
    description: Many users in one task, in place of O(user_id).
    type: list
    elements: dict
    suboptions:
      user_id:
        description: The user's id.
        type: str
        required: true
      state: *state
      user_email: *user_email
      user_alias: *user_alias
      user_role: *user_role
      max_budget: *max_budget
      budget_duration: *budget_duration
      tpm_limit: *tpm_limit
      rpm_limit: *rpm_limit
      metadata: *metadata
      teams: *teams
  prune:
    description:
      - Whether to delete users that this collection made and that O(users) does not name. Users
        with keys that it did not make stay, unless O(revoke_keys) is set.
    type: bool
    default: false
  revoke_keys:
    description:
      - Whether keys that the users made themselves are revoked, for whomever they made them, and
        with a user who goes all of the user's keys, whoever made them.
    type: bool
    default: false
  leave_teams:
    description:
      - Whether users leave the teams that their C(teams) do not name. Only teams that this
        collection made are left.
      - LiteLLM deletes the keys that a user has in a team with the membership. Move them first.
    type: bool
    default: true
  validate_teams:
    description:
      - Whether to refuse teams that LiteLLM does not have. Switch it off in check mode where an
        earlier task would have made them.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: One user
  intranet.mcp.litellm_user:
    litellm_url: http://127.0.0.1:4000
    master_key_file: /etc/intranet-mcp/secrets/litellm_master_key
    user_id: alice
    user_email: alice@example.internal
    teams: [payments]

- name: These users and no others
  intranet.mcp.litellm_user:
    master_key: "{{ master_key }}"
    users:
      - user_id: alice
        teams: [payments]
      - user_id: bob
        teams: [payments, research]
    prune: true

- name: Remove a person, and every key that this person has or created
  intranet.mcp.litellm_user:
    master_key: "{{ master_key }}"
    user_id: carol
    state: absent
    revoke_keys: true
"""

RETURN = r"""
user_id:
  description: The user's id.
  returned: success, with O(user_id)
  type: str
  sample: alice
user_info:
  description: The user's fields after the run, in check mode before it. Empty without a user.
  returned: success, with O(user_id)
  type: dict
  contains: &info
    user_email:
      description: The address.
      type: str
    user_alias:
      description: The name for people.
      type: str
    user_role:
      description: What the user may do.
      type: str
    teams:
      description: Ids of the user's teams.
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
    created_at:
      description: When the user was made.
      type: str
    spend:
      description: What was spent so far.
      type: float
    metadata:
      description: What is noted with the user.
      type: dict
  sample:
    user_email: alice@example.internal
    user_alias: null
    user_role: internal_user_viewer
    teams: [payments]
    max_budget: null
    budget_duration: null
    tpm_limit: null
    rpm_limit: null
    created_at: "2026-11-23T10:00:00Z"
    spend: 0.0
    metadata: {managed_by: intranet.mcp}
users:
  description: The same of every user of O(users), in its order.
  returned: success, with O(users)
  type: list
  elements: dict
  contains:
    changed:
      description: Whether this user changed.
      type: bool
    user_id:
      description: The user's id.
      type: str
    user_info:
      description: The user's fields. Empty without a user.
      type: dict
      contains: *info
  sample:
    - {changed: true, user_id: bob, user_info: {teams: [payments, research]}}
pruned:
  description: Users that were deleted since O(users) does not name them.
  returned: success, with O(users)
  type: list
  elements: str
  sample: [carol]
revoked:
  description: Aliases of keys that O(revoke_keys) revoked, or would revoke in check mode.
  returned: success
  type: list
  elements: str
  sample: [made-by-carol]
surplus:
  description: Users that O(prune) would delete.
  returned: success, with O(users)
  type: list
  elements: str
  sample: []
kept:
  description: Users that stay though O(users) does not name them, with the keys that hold them.
  returned: success, with O(users)
  type: dict
  sample: {carol: [made-by-hand]}
leaving:
  description: Users in teams that O(leave_teams) would make them leave.
  returned: success, with O(users)
  type: list
  elements: str
  sample: []
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: unknown
    found: LiteLLM has no team sales
    expected: the id of a team it has
    action: make the team first, or correct team_id
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    ServiceError,
    Unexpected,
    fail,
)
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import client
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.resource import (
    LIMIT_SPEC,
    REPORTED,
    STATE_SPEC,
    KeyOwner,
    argument_spec,
    limits,
    notes,
)

# Makes no keys. Of LiteLLM's roles it is the one with the fewest rights.
DEFAULT_ROLE = "internal_user_viewer"
ROLES = ["proxy_admin", "proxy_admin_viewer", "internal_user", "internal_user_viewer"]
FIELDS = {
    "user_id": {"type": "str"},
    **STATE_SPEC,
    "user_email": {"type": "str"},
    "user_alias": {"type": "str"},
    "user_role": {"type": "str", "choices": ROLES},
    **LIMIT_SPEC,
    "teams": {"type": "list", "elements": "str"},
}


class LiteLLMUsers(KeyOwner):
    """Users, each known by its id."""

    kind, name, many, owns_by = "user", "user_id", "users", "user_id"

    def __init__(self, module):
        super().__init__(module)
        self._teams = self._all_keys = None
        self.leaving = []
        self.revoked = {}
        self.gone = set()

    def read(self, name):
        """Return all users, or those whose id holds the name."""
        return self.client.users(**({"user_ids": name} if name else {}))

    def desired(self, step):
        """Return the fields that the options fix."""
        options, current = step.options, step.current
        wanted = limits(options)
        for field in ("user_email", "user_alias", "user_role"):
            if options[field] is not None:
                wanted[field] = options[field]
        if not current:
            wanted.setdefault("user_role", DEFAULT_ROLE)
        if options["teams"] is not None:
            wanted["teams"] = self._memberships(step)
        return {**wanted, **notes(options["metadata"], step, self.notes_of(current))}

    def _memberships(self, step):
        """Return the teams the user will be in."""
        wanted, current = set(step.options["teams"]), set(step.current.get("teams") or [])
        surplus = {name for name in current - wanted if self._is_own_team(name)}
        if surplus and not self.params["leave_teams"]:
            self.leaving.append(step.name)
            surplus = set()
        return sorted((current | wanted) - surplus)

    def _is_own_team(self, team_id):
        team = self._known_teams().get(team_id) or {}
        return self.is_ours(team)

    def _known_teams(self):
        if self._teams is None:
            self._teams = {team.get("team_id"): team for team in self.client.teams()}
        return self._teams

    def check(self, steps):
        """Refuse unknown teams, and addresses that are taken."""
        for step in steps:
            joined = set(step.wanted.get("teams") or []) - set(step.current.get("teams") or [])
            for team_id in sorted(joined) if self.params["validate_teams"] else ():
                client.check_team(team_id, self._known_teams())
        self._check_addresses(steps)
        self._check_administrators(steps)

    def _check_addresses(self, steps):
        changing = {s.name: s.wanted["user_email"] for s in steps if s.wanted.get("user_email")}
        holders = {
            str(user["user_email"]).lower(): user["user_id"]
            for user in self.objects
            if user.get("user_email") and user["user_id"] not in changing
        }
        for name, address in changing.items():
            other = holders.setdefault(address.lower(), name)
            if other != name:
                raise Refused(
                    f"{name} and {other} have the same user_email {address}",
                    "an address of its own for every user",
                    "leave it out for one of the two: LiteLLM takes an address once",
                )

    def _check_administrators(self, steps):
        """Refuse to make a member of one whose keys may be everybody's."""
        for step in steps if self.params["revoke_keys"] else ():
            role = step.current.get("user_role")
            if role == "proxy_admin" and step.wanted.get("user_role", role) != role:
                raise Refused(
                    f"{step.name} administers LiteLLM (user_role {role})",
                    f"{step.wanted['user_role']}, whose own keys are revoked",
                    "give the administrator another user_id, or take the role away at LiteLLM",
                )

    def create(self, step):
        """Make the user, without a key."""
        fields = {name: value for name, value in step.wanted.items() if value is not None}
        self.client.post("/user/new", {"user_id": step.name, "auto_create_key": False, **fields})

    def update(self, step):
        """Send what differs; memberships have requests of their own."""
        fields = {n: value for n, value in step.wanted.items() if n in step.difference.fields}
        teams = fields.pop("teams", None)
        if fields:
            self.client.post("/user/update", {"user_id": step.name, **fields})
        if teams is None:
            return
        current = set(step.current.get("teams") or [])
        for team_id in sorted(set(teams) - current):
            member = [{"user_id": step.name, "role": "user"}]
            self.client.post("/team/member_add", {"team_id": team_id, "member": member})
        for team_id in sorted(current - set(teams)):
            self.client.post("/team/member_delete", {"team_id": team_id, "user_id": step.name})

    def diff(self, step):
        """Note what differs, and the keys that the user made."""
        super().diff(step)
        if self.params["revoke_keys"]:
            self._note_keys(step, self._keys(created_by=step.name))

    def remove(self, step):
        """Note that the user goes, and every key that the user has or made."""
        super().remove(step)
        if self.params["revoke_keys"]:
            self.gone.add(step.name)
            self._note_keys(step, self._keys_of(step.name))

    def foreign_keys(self, current):
        """Return keys that hold the user; none does when all are revoked."""
        return [] if self.params["revoke_keys"] else super().foreign_keys(current)

    def _note_keys(self, step, keys):
        """Have the keys revoked before anything else is done with the user."""
        names = {
            key["token"]: key.get("key_alias") or key["token"][:12]
            for key in keys
            if key["token"] not in self.revoked  # made by one who leaves, for another one
        }
        if not names:
            return
        self.revoked.update(names)
        step.difference.compare("keys", sorted(names.values()), [])
        act = step.act

        def revoke_first(step):
            self.client.revoke(names)
            if act:
                act(step)

        step.act = revoke_first

    def _keys_of(self, name):
        found = [*self._keys(user_id=name), *self._keys(created_by=name)]
        return list({key["token"]: key for key in found}.values())

    def _keys(self, **wanted):
        """Return keys with this owner or maker; LiteLLM's list has no filter for makers."""
        if self._all_keys is None:
            self._all_keys = self.client.keys()
        return [key for key in self._all_keys if wanted.items() <= key.items()]

    def _load(self, names):
        super()._load(names)
        self._all_keys = None

    def delete(self, step):
        """Delete the user, and the keys with it so that no replica remembers them."""
        self.client.revoke(key["token"] for key in self.client.keys(user_id=step.name))
        self.client.post("/user/delete", {"user_ids": [step.name]})

    def report(self, name, current):
        """Return what the result says of a user."""
        info = {field: current.get(field) for field in REPORTED["user"]} if current else {}
        return {"user_id": name, "user_info": info}

    def run(self):
        """Do what the task asks and return its result."""
        result = {**super().run(), "revoked": sorted(self.revoked.values())}
        if not self.module.check_mode:
            self._check_revoked()
        return {**result, "leaving": self.leaving} if self.is_list else result

    def _check_revoked(self):
        """Fail when LiteLLM still has a key that is to be gone, whatever it answered."""
        if not self.revoked and not self.gone:
            return
        left = [
            key.get("key_alias") or key["token"][:12]
            for key in self._keys()
            if key["token"] in self.revoked
            or {key.get("user_id"), key.get("created_by")} & self.gone
        ]
        if left:
            raise Unexpected(
                f"LiteLLM still has the keys {', '.join(sorted(left))} of users who left",
                "no key of theirs",
                "run the task again; should they stay, delete them with /key/delete",
            )


def main():
    """Run the module."""
    module = AnsibleModule(
        **argument_spec(
            "user_id",
            "users",
            FIELDS,
            revoke_keys={"type": "bool", "default": False},
            leave_teams={"type": "bool", "default": True},
            validate_teams={"type": "bool", "default": True},
        )
    )
    try:
        result = LiteLLMUsers(module).run()
    except ServiceError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
