#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_team
short_description: Teams of LiteLLM
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Makes, changes or deletes one team, or all teams of a list.
  - An option that is left out leaves its field as it is.
  - LiteLLM lets several teams have one alias. This module does not.
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
  team_alias:
    description: The team's name. LiteLLM must have at most one team with it.
    type: str
  state: &state
    description:
      - Whether the team is to be there. LiteLLM deletes a team's keys with the team, so one that
        has keys which this collection did not make is not deleted.
    type: str
    choices: [present, absent]
    default: present
  team_id: &team_id
    description:
      - The team's id, which keys and the MCP gateway's policy name. It cannot change later.
      - A new team without it gets its alias as its id.
    type: str
  models: &models
    description: Models the team may use. An empty list means every model.
    type: list
    elements: str
  max_budget: &max_budget
    description: What the team may spend, in US dollars. V(-1) takes the limit away.
    type: float
  budget_duration: &budget_duration
    description: Period after which the budget is reset, for example V(30d). Empty for never.
    type: str
  tpm_limit: &tpm_limit
    description: Tokens a minute, of all members together. V(-1) takes the limit away.
    type: int
  rpm_limit: &rpm_limit
    description: Requests a minute, of all members together. V(-1) takes the limit away.
    type: int
  metadata: &metadata
    description:
      - What to note with the team. Other notes stay; a value of V(null) removes a note.
    type: dict
  teams:
    description: Many teams in one task, in place of O(team_alias).
    type: list
    elements: dict
    suboptions:
      team_alias:
        description: The team's name.
        type: str
        required: true
      state: *state
      team_id: *team_id
      models: *models
      max_budget: *max_budget
      budget_duration: *budget_duration
      tpm_limit: *tpm_limit
      rpm_limit: *rpm_limit
      metadata: *metadata
  prune:
    description:
      - Whether to delete teams that this collection made and that O(teams) does not name. Teams
        with keys that it did not make stay.
    type: bool
    default: false
  validate_models:
    description: Whether to refuse models that LiteLLM does not have.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: One team with a budget
  intranet.mcp.litellm_team:
    litellm_url: http://127.0.0.1:4000
    master_key_file: /etc/intranet-mcp/secrets/litellm_master_key
    team_alias: payments
    models: [qwen3-8b]
    max_budget: 100
    budget_duration: 30d
    rpm_limit: 600

- name: These teams and no others
  intranet.mcp.litellm_team:
    master_key: "{{ master_key }}"
    teams:
      - team_alias: payments
        models: [qwen3-8b]
      - team_alias: research
    prune: true
"""

RETURN = r"""
team_alias:
  description: The team's name.
  returned: success, with O(team_alias)
  type: str
  sample: payments
team_id:
  description: The team's id. Empty without a team.
  returned: success, with O(team_alias)
  type: str
  sample: payments
team_info:
  description: The team's fields after the run, in check mode before it. Empty without a team.
  returned: success, with O(team_alias)
  type: dict
  contains: &info
    models:
      description: Models the team may use.
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
    blocked:
      description: Whether somebody blocked the team.
      type: bool
    created_at:
      description: When it was made.
      type: str
    spend:
      description: What was spent so far.
      type: float
    members:
      description: Ids of the users in it.
      type: list
      elements: str
    metadata:
      description: What is noted with it.
      type: dict
  sample:
    models: [qwen3-8b]
    max_budget: 100.0
    budget_duration: 30d
    tpm_limit: null
    rpm_limit: 600
    blocked: false
    created_at: "2026-11-23T10:00:00Z"
    spend: 0.0
    members: [alice]
    metadata: {managed_by: intranet.mcp}
teams:
  description: The same of every team of O(teams), in its order.
  returned: success, with O(teams)
  type: list
  elements: dict
  contains:
    changed:
      description: Whether this team changed.
      type: bool
    team_alias:
      description: The team's name.
      type: str
    team_id:
      description: The team's id. Empty without a team.
      type: str
    team_info:
      description: The team's fields. Empty without a team.
      type: dict
      contains: *info
  sample:
    - {changed: true, team_alias: research, team_id: research, team_info: {models: []}}
pruned:
  description: Teams that were deleted since O(teams) does not name them.
  returned: success, with O(teams)
  type: list
  elements: str
  sample: [sales]
surplus:
  description: Teams that O(prune) would delete.
  returned: success, with O(teams)
  type: list
  elements: str
  sample: []
kept:
  description: Teams that stay though O(teams) does not name them, with the keys that hold them.
  returned: success, with O(teams)
  type: dict
  sample: {sales: [made-by-hand]}
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: unknown
    found: LiteLLM has no model gpt-9
    expected: models it has (qwen3-8b)
    action: add the model to LiteLLM first, or correct the name
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    ServiceError,
    fail,
)
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.resource import (
    LIMIT_SPEC,
    REPORTED,
    STATE_SPEC,
    KeyOwner,
    argument_spec,
    limits,
    members_of,
    notes,
)

FIELDS = {
    "team_alias": {"type": "str"},
    **STATE_SPEC,
    "team_id": {"type": "str"},
    "models": {"type": "list", "elements": "str"},
    **LIMIT_SPEC,
}


class LiteLLMTeams(KeyOwner):
    """Teams, each known by its alias."""

    kind, name, many, owns_by = "team", "team_alias", "teams", "team_id"

    def read(self, name):
        """Return all teams, or those whose alias holds the name."""
        return self.client.teams(**({"team_alias": name} if name else {}))

    def identity(self, current):
        """Return the team's id."""
        return str(current.get("team_id"))

    def desired(self, step):
        """Return the fields that the options fix."""
        options, current = step.options, step.current
        wanted = limits(options)
        if options["models"] is not None:
            wanted["models"] = options["models"]
        return {**wanted, **notes(options["metadata"], step, self.notes_of(current))}

    def check(self, steps):
        """Refuse unknown models and an id that is another one's."""
        models = set()
        for step in steps:
            if "models" in step.difference.fields and self.params["validate_models"]:
                models |= set(step.wanted.get("models") or [])
            given, found = step.options["team_id"], step.current.get("team_id")
            if given and found and given != found:
                raise Refused(
                    f"the team {step.name} has the id {found}",
                    given,
                    "rename that team in LiteLLM, or give team_id as it is",
                )
        if models:
            self.client.check_models(sorted(models))

    def create(self, step):
        """Make the team."""
        team_id = step.options["team_id"] or step.name
        fields = {name: value for name, value in step.wanted.items() if value is not None}
        self.client.post("/team/new", {"team_id": team_id, "team_alias": step.name, **fields})

    def update(self, step):
        """Send what differs."""
        fields = {name: step.wanted[name] for name in step.difference.fields}
        self.client.post("/team/update", {"team_id": step.current["team_id"], **fields})

    def delete(self, step):
        """Delete the team; LiteLLM deletes its keys with it."""
        self.client.post("/team/delete", {"team_ids": [step.current["team_id"]]})

    def report(self, name, current):
        """Return what the result says of a team."""
        info = {field: current.get(field) for field in REPORTED["team"]} if current else {}
        if current:
            info["members"] = members_of(current)
        return {"team_alias": name, "team_id": current.get("team_id") or "", "team_info": info}


def main():
    """Run the module."""
    module = AnsibleModule(
        **argument_spec(
            "team_alias", "teams", FIELDS, validate_models={"type": "bool", "default": True}
        )
    )
    try:
        result = LiteLLMTeams(module).run()
    except ServiceError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
