#!/usr/bin/python
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: llm_health
short_description: Prove that an OpenAI-compatible API serves its users
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Asks what the developers' CLIs ask, through the same door and with the same kind of key, and
    reports what was found and how long it took.
  - Changes nothing. A check that cannot pass fails the module unless O(required=false).
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
      checks:
        description: What must work with this model.
        type: list
        elements: str
        choices: [models, chat, stream, tool_call, embedding]
        default: [models, chat, stream, tool_call]
  denied:
    description: Whether a missing and an unknown key must be refused.
    type: bool
    default: true
  max_tokens:
    description: Length of the answers asked for. Short ones keep the check cheap.
    type: int
    default: 16
  required:
    description: Fail when a check fails. With V(false), only report.
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
- name: Prove that the coding model streams tool calls
  intranet.mcp.llm_health:
    url: http://llm.example.internal:4000
    api_key: "{{ lookup('intranet.mcp.secret', 'key-first-developer') }}"
    models:
      - name: qwen3:8b
      - name: nomic-embed-text
        checks: [models, embedding]
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
    first_ms:
      description: Milliseconds to the first streamed piece, where the answer was streamed.
      type: float
      returned: always
      sample: 210.3
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils._http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils._llm import FAILED, LlmProbe

ARGUMENTS = {
    "url": {"type": "str", "required": True},
    "api_key": {"type": "str", "required": True, "no_log": True},
    "models": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "checks": {
                "type": "list",
                "elements": "str",
                "choices": ["models", "chat", "stream", "tool_call", "embedding"],
                "default": ["models", "chat", "stream", "tool_call"],
            },
        },
    },
    "denied": {"type": "bool", "default": True},
    "max_tokens": {"type": "int", "default": 16, "no_log": False},
    "required": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 120},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    client = HttpClient(
        params["url"],
        service="the LLM API",
        setting="url",
        timeout=params["timeout"],
        validate_certs=params["validate_certs"],
        ca_path=params["ca_path"],
    )
    probe = LlmProbe(client, params["api_key"], params["max_tokens"])
    checks = [
        probe.run(name, model["name"]) for model in params["models"] for name in model["checks"]
    ]
    if params["denied"]:
        checks.append(probe.run("denied"))
    report = [check.as_dict() for check in checks]
    failed = [check for check in checks if check.status == FAILED]
    if failed and params["required"]:
        worst = "; ".join(
            f"{check.name} {check.model}: found {check.found}, expected {check.expected}"
            for check in failed
        )
        module.fail_json(
            msg=f"{len(failed)} of {len(checks)} checks failed: {worst}", checks=report
        )
    module.exit_json(changed=False, checks=report)


if __name__ == "__main__":
    main()
