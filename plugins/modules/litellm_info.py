#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_info
short_description: What LiteLLM has, its models, teams, users and keys
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Tells LiteLLM's version, models, teams, users and keys. Changes nothing.
  - Values of keys are not told; LiteLLM does not have them.
extends_documentation_fragment:
  - intranet.mcp.attributes
  - intranet.mcp.litellm
attributes:
  check_mode:
    support: full
    details:
      - Reads in check mode as it does otherwise.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  gather:
    description: What to ask for, besides the version.
    type: list
    elements: str
    choices: [models, teams, users, keys]
    default: [models, teams, users, keys]
"""

EXAMPLES = r"""
- name: Who has a key
  intranet.mcp.litellm_info:
    litellm_url: http://127.0.0.1:4000
    master_key_file: /etc/intranet-mcp/secrets/litellm_master_key
    gather: [keys]
  register: litellm
  failed_when: litellm['keys'] | rejectattr('is_managed') | length > 0 # somebody made one by hand
"""

RETURN = r"""
version:
  description: LiteLLM's version.
  returned: success
  type: str
  sample: 1.108.7
models:
  description: Deployments of models. Several may have one C(model_name) and share its load.
  returned: with V(models) in O(gather)
  type: list
  elements: dict
  contains:
    model_name:
      description: Name that is asked for.
      type: str
    model_id:
      description: What LiteLLM calls the deployment.
      type: str
    model:
      description: What it stands for, with its provider.
      type: str
    mode:
      description: Whether it chats or embeds.
      type: str
    in_database:
      description: Whether it is kept in the database rather than in the file.
      type: bool
    is_managed:
      description: Whether this collection made it.
      type: bool
  sample:
    - model_name: qwen3:8b
      model_id: 0f3a
      model: ollama_chat/qwen3:8b
      mode: chat
      in_database: false
      is_managed: false
teams:
  description: Teams.
  returned: with V(teams) in O(gather)
  type: list
  elements: dict
  contains:
    team_alias:
      description: The team's name.
      type: str
    team_id:
      description: The team's id.
      type: str
    members:
      description: Ids of the users in it.
      type: list
      elements: str
    models:
      description: Models the team may use. Empty for all.
      type: list
      elements: str
    blocked:
      description: Whether somebody blocked the team.
      type: bool
    max_budget: &max_budget
      description: What may be spent. Null for no limit.
      type: float
    budget_duration: &budget_duration
      description: Period after which the budget is reset.
      type: str
    tpm_limit: &tpm_limit
      description: Tokens a minute.
      type: int
    rpm_limit: &rpm_limit
      description: Requests a minute.
      type: int
    spend: &spend
      description: What was spent so far.
      type: float
    created_at: &created_at
      description: When it was made.
      type: str
    metadata: &metadata
      description: What is noted with it.
      type: dict
    is_managed: &is_managed
      description: Whether this collection made it.
      type: bool
  sample:
    - team_alias: payments
      team_id: payments
      models: [qwen3:8b]
      max_budget: 100.0
      spend: 3.5
      members: [alice]
      is_managed: true
users:
  description: Users.
  returned: with V(users) in O(gather)
  type: list
  elements: dict
  contains:
    user_id:
      description: The user's id.
      type: str
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
    max_budget: *max_budget
    budget_duration: *budget_duration
    tpm_limit: *tpm_limit
    rpm_limit: *rpm_limit
    spend: *spend
    created_at: *created_at
    metadata: *metadata
    is_managed: *is_managed
  sample:
    - {user_id: alice, user_email: alice@example.internal, teams: [payments], is_managed: true}
keys:
  description: Virtual keys, without their values.
  returned: with V(keys) in O(gather)
  type: list
  elements: dict
  contains:
    key_alias:
      description: The key's alias.
      type: str
    key_hash:
      description: What LiteLLM calls the key in its tables and logs.
      type: str
    models:
      description: Models the key may use. Empty for all that its team may use.
      type: list
      elements: str
    team_id:
      description: The team the key belongs to.
      type: str
    user_id:
      description: The user the key belongs to.
      type: str
    allowed_routes:
      description: Paths it may call. Empty where the user's role decides.
      type: list
      elements: str
    created_by:
      description: The user that made it, C(default_user_id) for the master key.
      type: str
    expires:
      description: Until when the key is valid. Null for without end.
      type: str
    max_budget: *max_budget
    budget_duration: *budget_duration
    tpm_limit: *tpm_limit
    rpm_limit: *rpm_limit
    spend: *spend
    created_at: *created_at
    metadata: *metadata
    is_managed: *is_managed
  sample:
    - key_alias: alice
      key_hash: 837e17519f44683334df5291321d97b8bf1098cd490e49e215f6fea935aa28be
      team_id: payments
      user_id: alice
      allowed_routes: [/v1/messages, /v1/models]
      created_by: default_user_id
      expires: null
      is_managed: true
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError, fail
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import client as litellm
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.resource import (
    REPORTED,
    members_of,
)

GATHERED = ["models", "teams", "users", "keys"]


def models(client):
    """Return every deployment."""
    return [_model(deployment) for deployment in client.deployments()]


def _model(deployment):
    info = deployment.get("model_info") or {}
    return {
        "model_name": deployment.get("model_name"),
        "model_id": info.get("id"),
        "model": (deployment.get("litellm_params") or {}).get("model"),
        "mode": info.get("mode"),
        "in_database": bool(info.get("db_model")),
        "is_managed": litellm.MANAGED_BY.items() <= info.items(),
    }


def teams(client):
    """Return every team."""
    return [
        {**_told(team, "team", "team_alias", "team_id"), "members": members_of(team)}
        for team in client.teams()
    ]


def users(client):
    """Return every user."""
    return [_told(user, "user", "user_id") for user in client.users()]


def keys(client):
    """Return every key."""
    found = client.keys()
    return [{**_told(key, "key", "key_alias"), "key_hash": key.get("token")} for key in found]


def _told(found, kind, *names):
    told = {name: found.get(name) for name in (*names, *REPORTED[kind])}
    is_managed = litellm.MANAGED_BY.items() <= (found.get("metadata") or {}).items()
    return {**told, "is_managed": is_managed}


def gather(params):
    """Return what the task asks for."""
    client = litellm.client(params)
    sources = {"models": models, "teams": teams, "users": users, "keys": keys}
    found = {name: sources[name](client) for name in sources if name in params["gather"]}
    return {"version": client.version(), **found}


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "gather": {
                "type": "list",
                "elements": "str",
                "choices": GATHERED,
                "default": GATHERED,
            },
            **litellm.CONNECTION_SPEC,
        },
        **litellm.CONNECTION_RULES,
        supports_check_mode=True,
    )
    try:
        result = gather(module.params)
    except ServiceError as error:
        fail(module, error)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
