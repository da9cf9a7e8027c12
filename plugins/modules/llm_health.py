#!/usr/bin/python
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: llm_health
short_description: Prove that an LLM API serves its users
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Asks what the developers' CLIs ask, through the same address and with the same kind of key, in
    each of the shapes they speak, and reports what was found and how long it took.
  - Tries to connect as those who must be refused.
  - Changes nothing. A check that does not pass fails the module unless O(required=false).
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
    details:
      - Runs the same way, since it only reads.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  url:
    description: Base address of the API, without C(/v1).
    type: str
    required: true
  api_key:
    description: A virtual key, not the master key.
    type: str
    required: true
  models:
    description: Models that must answer.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name as users ask for it.
        type: str
        required: true
      gemini_name:
        description:
          - Name to ask for in Google's shape. LiteLLM refuses a name with a colon there, so such
            models need a second name (C(model_group_alias)). Default is O(models[].name).
        type: str
      checks:
        description:
          - What must work with this model.
          - V(models) is that it is listed; V(chat), V(stream) and V(tool_call) (streamed) are
            OpenAI's chat completions, V(embedding) its embeddings.
          - V(messages) is Anthropic's shape, as Claude Code sends it, V(responses) OpenAI's newer
            one (Codex), V(gemini) Google's (Gemini CLI). Each also has a streamed form, and a
            streamed call of a tool.
        type: list
        elements: str
        choices:
          - models
          - chat
          - stream
          - tool_call
          - messages
          - messages_stream
          - messages_tool_call
          - responses
          - responses_stream
          - responses_tool_call
          - gemini
          - gemini_stream
          - gemini_tool_call
          - embedding
        default: [models, chat, stream, tool_call]
      requests:
        description:
          - Requests as CLIs send them, each by the CLI's name and with C(path), C(headers) and
            C(body). Each must get a streamed answer of text, thoughts or a call of a tool.
        type: dict
        default: {}
  denies:
    description: Callers that must be turned away with status 401 or 403.
    type: list
    elements: str
    choices: [no_key, wrong_key, revoked_key]
    default: [no_key, wrong_key]
  revoked_key:
    description: A key that was valid and no longer is. Without it V(revoked_key) is unknown.
    type: str
  revoked_within_seconds:
    description:
      - How long the API may go on taking O(revoked_key), since it may remember keys for a while.
        It is asked again until then.
    type: float
    default: 0
  denied_models:
    description:
      - Models that O(api_key), for example one of another team, must not use. The key itself must
        be valid, otherwise nothing is proven and the check is V(unknown).
    type: list
    elements: str
    default: []
  max_tokens:
    description: Length of the answers asked for. Short ones keep the check cheap.
    type: int
    default: 16
  required:
    description: Fail when a check failed or could not run. With V(false), only report.
    type: bool
    default: true
  timeout:
    description: Longest silence of the API, in seconds. A first answer may load a model.
    type: int
    default: 120
  validate_certs:
    description: Verify the certificate of an C(https) address.
    type: bool
    default: true
  ca_path:
    description: File with the certificates of the CA that signed it.
    type: path
"""

EXAMPLES = r"""
- name: Prove that the coding model serves Claude Code, Codex and Gemini CLI
  intranet.mcp.llm_health:
    url: http://llm.example.internal:4000
    api_key: "{{ lookup('intranet.mcp.secret', 'key-alice') }}"
    models:
      - name: qwen3:8b
        checks: [models, tool_call, messages_stream, responses_stream, gemini_stream]
      - name: nomic-embed-text
        checks: [models, embedding]

- name: Prove that a team is kept to its own models
  intranet.mcp.llm_health:
    url: http://llm.example.internal:4000
    api_key: "{{ lookup('intranet.mcp.secret', 'key-bob') }}"
    denied_models: [company-large]
"""

RETURN = r"""
checks:
  description: One entry a check, in the order they ran.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: What was checked.
      type: str
      returned: always
      sample: tool_call
    model:
      description: With which model; empty where none is involved.
      type: str
      returned: always
      sample: qwen3:8b
    status:
      description: V(passed), V(failed), or V(unknown) where it could not run.
      type: str
      returned: always
      sample: passed
    found:
      description: What the API did.
      type: str
      returned: always
      sample: 'get_weather({"city": "Paris"})'
    expected:
      description: What it should have done.
      type: str
      returned: always
      sample: a streamed call of get_weather with a city
    action:
      description: What to do about a failure.
      type: str
      returned: always
      sample: ""
    milliseconds:
      description: How long it took, in milliseconds.
      type: float
      returned: always
      sample: 812.4
    declared:
      description: Name of the entry of O(models) that was asked for; empty for checks of callers.
      type: str
      returned: always
      sample: qwen3:8b
    first_ms:
      description: Milliseconds to the first streamed piece, where the answer was streamed.
      type: float
      returned: always
      sample: 210.3
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import PASSED
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.chat import ARGUMENTS, checks_of


def main() -> None:
    module = AnsibleModule(
        argument_spec={**ARGUMENTS, "required": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    checks = checks_of(module.params)
    bad = [check for check in checks if check["status"] != PASSED]
    if bad and module.params["required"]:
        worst = "; ".join(
            f"{c['name']} {c['model']}: found {c['found']}, expected {c['expected']}" for c in bad
        )
        module.fail_json(
            msg=f"{len(bad)} of {len(checks)} checks did not pass: {worst}", checks=checks
        )
    module.exit_json(changed=False, checks=checks)


if __name__ == "__main__":
    main()
