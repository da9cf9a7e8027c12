#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_usage_info
short_description: Tokens, requests and cost of each person and team
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Tells what each key used of LiteLLM's models. Changes nothing.
  - LiteLLM's daily sums are read, which it keeps after the spend logs of single requests are gone.
    They lag behind requests by about a minute.
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
  since:
    description: The first day, in UTC, such as V(2027-01-01).
    type: str
    required: true
  until:
    description: The last day, in UTC, which is included.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Who used what in January
  intranet.mcp.litellm_usage_info:
    litellm_url: http://127.0.0.1:4000
    master_key_file: /etc/intranet-mcp/secrets/litellm_master_key
    since: 2027-01-01
    until: 2027-01-31
  register: january
"""

RETURN = r"""
usage:
  description: An entry a team, person and key. Keys that are deleted by now are among them.
  returned: success
  type: list
  elements: dict
  contains:
    team:
      description: Id of the team that the key was in when it was used. Empty for none.
      type: str
    user:
      description: Id of the user whose key it was. Empty for nobody.
      type: str
    key_alias:
      description: The key's alias.
      type: str
    key_hash:
      description: What LiteLLM calls the key in its tables.
      type: str
    requests:
      description: Requests, those that failed among them.
      type: int
    failed_requests:
      description: Requests that failed.
      type: int
    input_tokens:
      description: Tokens of prompts.
      type: int
    cached_tokens:
      description: Those of them that the model's API had in its cache, as far as it says so.
      type: int
    output_tokens:
      description: Tokens of answers.
      type: int
    cost:
      description: US dollars.
      type: float
  sample:
    - team: payments
      user: alice
      key_alias: alice
      key_hash: 837e17519f44683334df5291321d97b8bf1098cd490e49e215f6fea935aa28be
      requests: 412
      failed_requests: 3
      input_tokens: 5210334
      cached_tokens: 0
      output_tokens: 98120
      cost: 2.8
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
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.usage import usage


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "since": {"type": "str", "required": True},
            "until": {"type": "str", "required": True},
            **litellm.CONNECTION_SPEC,
        },
        **litellm.CONNECTION_RULES,
        supports_check_mode=True,
    )
    try:
        client = litellm.client(module.params)
        found = usage(client, module.params["since"], module.params["until"])
    except ServiceError as error:
        fail(module, error)
    module.exit_json(changed=False, usage=found)


if __name__ == "__main__":
    main()
