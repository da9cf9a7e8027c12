#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_key
short_description: Virtual keys of LiteLLM
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Makes, changes, rotates or deletes the virtual key with an alias, or all keys of a list.
  - An option that is left out leaves its field as it is.
  - Models, teams, users and key values that LiteLLM would take without a word, though they are
    wrong or collide, are refused, and nothing is written then.
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
    support: partial
    details:
      - O(rotate) without O(key) makes a new key each time.
options:
  key_alias:
    description: The name that stands for the key. LiteLLM must have at most one key with it.
    type: str
  state: &state
    description: Whether the key is to be there. With it go the keys that it was rotated from.
    type: str
    choices: [present, absent]
    default: present
  key: &key
    description:
      - The key's value, beginning with V(sk-). Without it, LiteLLM chooses one.
      - When the key there has another value, it is replaced and its other fields, what was spent
        included, are carried over. The old value ends once the new one works and its grace period
        is over.
    type: str
  models: &models
    description: Models the key may use. An empty list means all that its team may use.
    type: list
    elements: str
  max_budget: &max_budget
    description: What may be spent with the key, in US dollars. V(-1) takes the limit away.
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
  team_id: &team_id
    description: The team the key belongs to. Empty for none.
    type: str
  user_id: &user_id
    description: The user the key belongs to. Empty for none.
    type: str
  allowed_routes: &allowed_routes
    description:
      - Paths of LiteLLM that the key may call, each with everything below it, for example
        V(/v1/messages). Everything else is refused, whatever the user's role. An empty list leaves
        it to the role. Old values of a rotated key get the same.
    type: list
    elements: str
  duration: &duration
    description:
      - How long the key is valid, counted from its creation, for example V(90d). V(never) for
        without end. Give this or C(expires).
    type: str
  expires: &expires
    description: Until when the key is valid, in ISO 8601; UTC unless it says otherwise.
    type: str
  metadata: &metadata
    description:
      - What to note with the key. Other notes stay; a value of V(null) removes a note.
      - A new key is noted as C(managed_by) this collection. With another C(managed_by), no task of
        it prunes the key.
    type: dict
  rotate: &rotate
    description:
      - Whether to make a new key in place of the one that is there. Without O(key), LiteLLM chooses
        its value, at every run of the task. With O(key), that value decides, so the task comes to
        rest.
    type: bool
    default: false
  rotate_after: &rotate_after
    description:
      - Age at which the key is rotated, for example V(90d). The task cannot think of another value
        than the one that O(key) fixes; it then returns C(rotation_due).
    type: str
  grace_period: &grace_period
    description:
      - How long the old value stays valid when another takes its place, for example V(7d). The old
        key is renamed to ALIAS-old-HASH meanwhile, ends by itself, and a later task deletes it.
      - By default V(24h) when LiteLLM chooses the new value, V(0s) when O(key) gives it.
    type: str
  keys:
    description: Many keys in one task, in place of O(key_alias).
    type: list
    elements: dict
    suboptions:
      key_alias:
        description: The name that stands for the key.
        type: str
        required: true
      state: *state
      key: *key
      models: *models
      max_budget: *max_budget
      budget_duration: *budget_duration
      tpm_limit: *tpm_limit
      rpm_limit: *rpm_limit
      team_id: *team_id
      user_id: *user_id
      allowed_routes: *allowed_routes
      duration: *duration
      expires: *expires
      metadata: *metadata
      rotate: *rotate
      rotate_after: *rotate_after
      grace_period: *grace_period
  prune:
    description: Whether to delete keys that this collection made and that O(keys) does not name.
    type: bool
    default: false
  validate_models:
    description: Whether to refuse models that LiteLLM does not have.
    type: bool
    default: true
  validate_owners:
    description:
      - Whether to refuse teams and users that LiteLLM does not have. Switch it off in check mode
        where an earlier task would have made them.
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

- name: A new value for a key that is older than 90 days; the old one works for another week
  intranet.mcp.litellm_key:
    master_key: "{{ master_key }}"
    key_alias: ci
    rotate_after: 90d
    grace_period: 7d
  register: ci_key
  no_log: true

- name: These keys and no others
  intranet.mcp.litellm_key:
    master_key: "{{ master_key }}"
    keys:
      - key_alias: alice
        team_id: payments
        user_id: alice
      - key_alias: bob
        team_id: payments
        user_id: bob
    prune: true
  register: made
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
  returned: success, with O(key_alias)
  type: str
  sample: alice
key:
  description:
    - The value LiteLLM chose. It cannot be had again later.
    - A task that fails after it made keys returns them, too.
  returned: when a key was made without O(key)
  type: str
  sample: sk-vK1...
key_hash:
  description: What LiteLLM calls the key in its tables and logs. Empty without a key.
  returned: success, with O(key_alias)
  type: str
  sample: 837e17519f44683334df5291321d97b8bf1098cd490e49e215f6fea935aa28be
key_info:
  description: The key's fields after the run, in check mode before it. Empty without a key.
  returned: success, with O(key_alias)
  type: dict
  contains: &info
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
    allowed_routes:
      description: Paths it may call. Empty where the user's role decides.
      type: list
      elements: str
    team_id:
      description: The team the key belongs to.
      type: str
    user_id:
      description: The user the key belongs to.
      type: str
    created_by:
      description: The user that made it, C(default_user_id) for the master key.
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
    allowed_routes: [/v1/chat/completions, /v1/models]
    max_budget: 20.0
    budget_duration: 30d
    tpm_limit: null
    rpm_limit: 60
    team_id: null
    user_id: null
    created_by: default_user_id
    expires: "2027-05-22T10:00:00Z"
    created_at: "2026-11-23T10:00:00Z"
    spend: 0.0
    metadata: {managed_by: intranet.mcp, mail: alice@example.internal}
old_keys:
  description: Aliases of keys that this one was rotated from and that are still there.
  returned: success, with O(key_alias)
  type: list
  elements: str
  sample: [alice-old-837e1751]
rotation_due:
  description: >-
    With O(key_alias), whether the key is older than O(rotate_after) and O(key) fixes its value.
    With O(keys), the aliases of such keys.
  returned: success
  type: raw
  sample: [alice]
keys:
  description: The same of every key of O(keys), in its order.
  returned: success, with O(keys)
  type: list
  elements: dict
  contains:
    changed:
      description: Whether this key changed.
      type: bool
    key_alias:
      description: The key's alias.
      type: str
    key:
      description: The value LiteLLM chose, where it made the key.
      type: str
    key_hash:
      description: What LiteLLM calls the key. Empty without a key.
      type: str
    key_info:
      description: The key's fields. Empty without a key.
      type: dict
      contains: *info
    old_keys:
      description: Aliases of keys that this one was rotated from and that are still there.
      type: list
      elements: str
    rotation_due:
      description: Whether the key is older than its C(rotate_after) and its value is fixed.
      type: bool
  sample:
    - changed: false
      key_alias: bob
      key_hash: 837e17519f44683334df5291321d97b8bf1098cd490e49e215f6fea935aa28be
      key_info: {models: []}
      old_keys: []
      rotation_due: false
pruned:
  description: Keys that were deleted since O(keys) does not name them.
  returned: success, with O(keys)
  type: list
  elements: str
  sample: [carol]
surplus:
  description: Keys that O(prune) would delete.
  returned: success, with O(keys)
  type: list
  elements: str
  sample: []
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
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.keys import FIELDS, LiteLLMKeys
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.resource import argument_spec


def main():
    """Run the module."""
    module = AnsibleModule(
        **argument_spec(
            "key_alias",
            "keys",
            FIELDS,
            validate_models={"type": "bool", "default": True},
            validate_owners={"type": "bool", "default": True},
        )
    )
    keys = None
    try:
        keys = LiteLLMKeys(module)
        result = keys.run()
    except ServiceError as error:
        fail(module, error, **(keys.made() if keys else {}))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
