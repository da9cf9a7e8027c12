#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_model
short_description: Models that LiteLLM keeps in its database
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Makes, changes or deletes one model, or all models of a list, without a restart of LiteLLM.
  - LiteLLM must keep models in its database (C(general_settings.store_model_in_db)). Models of its
    configuration file are not touched.
  - A parameter that is left out stays as it is. One that is there can be changed, not taken away.
extends_documentation_fragment:
  - intranet.mcp.attributes
  - intranet.mcp.litellm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Secret parameters are never shown.
  idempotent:
    support: full
    details:
      - LiteLLM does not give secret parameters back. A keyed hash of them is noted with the model.
options:
  model_name:
    description:
      - The name developers ask for, and the id of a new model. LiteLLM would share the load between
        models of one name; this module refuses a name that another model has.
    type: str
  state: &state
    description: Whether the model is to be there.
    type: str
    choices: [present, absent]
    default: present
  litellm_params: &litellm_params
    description:
      - LiteLLM's parameters for it, C(model) above all. Secrets belong into C(secret_params).
    type: dict
  secret_params: &secret_params
    description: Parameters that are secret, such as C(api_key).
    type: dict
  model_info: &model_info
    description: What LiteLLM tells of the model, for example its C(mode). Every key can read it.
    type: dict
  models:
    description: Many models in one task, in place of O(model_name).
    type: list
    elements: dict
    suboptions:
      model_name:
        description: The name developers ask for.
        type: str
        required: true
      state: *state
      litellm_params: *litellm_params
      secret_params: *secret_params
      model_info: *model_info
  prune:
    description: Whether to delete models that this collection made and O(models) does not name.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: A model of the company, reached with a key
  intranet.mcp.litellm_model:
    litellm_url: http://127.0.0.1:4000
    master_key_file: /etc/intranet-mcp/secrets/litellm_master_key
    model_name: company-large
    litellm_params:
      model: openai/large-v2
      api_base: https://llm.example.internal/v1
    secret_params:
      api_key: "{{ lookup('intranet.mcp.secret', 'company_api_key') }}"
    model_info:
      mode: chat

- name: No model in the database any more
  intranet.mcp.litellm_model:
    master_key: "{{ master_key }}"
    models: []
    prune: true
"""

RETURN = r"""
model_name:
  description: The model's name.
  returned: success, with O(model_name)
  type: str
  sample: company-large
model_id:
  description: What LiteLLM calls the model. Empty without a model.
  returned: success, with O(model_name)
  type: str
  sample: company-large
litellm_params:
  description: Its parameters after the run, in check mode before it, without secret ones.
  returned: success, with O(model_name)
  type: dict
  sample: {model: openai/large-v2, api_base: "https://llm.example.internal/v1"}
model_info:
  description: What LiteLLM tells of it after the run, in check mode before it.
  returned: success, with O(model_name)
  type: dict
  sample: {id: company-large, mode: chat, managed_by: intranet.mcp}
models:
  description: The same of every model of O(models), in its order.
  returned: success, with O(models)
  type: list
  elements: dict
  contains:
    changed:
      description: Whether this model changed.
      type: bool
    model_name:
      description: The model's name.
      type: str
    model_id:
      description: What LiteLLM calls the model. Empty without a model.
      type: str
    litellm_params:
      description: Its parameters, without secret ones.
      type: dict
    model_info:
      description: What LiteLLM tells of it.
      type: dict
  sample:
    - changed: false
      model_name: company-large
      model_id: company-large
      litellm_params: {model: openai/large-v2}
      model_info: {id: company-large}
pruned:
  description: Models that were deleted since O(models) does not name them.
  returned: success, with O(models)
  type: list
  elements: str
  sample: [company-old]
surplus:
  description: Models that O(prune) would delete.
  returned: success, with O(models)
  type: list
  elements: str
  sample: []
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: refused
    found: LiteLLM at http://127.0.0.1:4000 keeps no models in its database
    expected: "general_settings.store_model_in_db: true"
    action: "set litellm_store_models: true (or that setting), or keep the model in the file"
"""

import re
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    ServiceError,
    fail,
)
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.client import MANAGED_BY
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.resource import (
    STATE_SPEC,
    Resource,
    argument_spec,
)

FIELDS = {
    "model_name": {"type": "str"},
    **STATE_SPEC,
    "litellm_params": {"type": "dict"},
    "secret_params": {"type": "dict", "no_log": True},
    "model_info": {"type": "dict"},
}
PARTS = ("litellm_params", "model_info")
# The note that says which secret parameters a model was given.
SECRETS_HASH = "secret_params_hash"
SECRET_NAME = re.compile(r"api_key|secret|password|private_key|credentials|(access|auth)_token")


class LiteLLMModels(Resource):
    """Models of the database, each known by its name."""

    kind, name, many = "model", "model_name", "models"

    def __init__(self, module):
        super().__init__(module)
        self.names_in_file = set()

    def read(self, name):
        """Return the database's models, with every parameter as a field `litellm_params.NAME`."""
        stored = []
        for deployment in self.client.deployments():
            info = deployment.get("model_info") or {}
            if info.get("db_model"):
                stored.append(_flat(deployment))
            else:
                self.names_in_file.add(deployment.get("model_name"))
        return stored

    def identity(self, current):
        """Return the model's id."""
        return str(current["model_info.id"])

    def notes_of(self, current):
        """Return what is noted with the model."""
        return {name: current.get(f"model_info.{name}") for name in MANAGED_BY}

    def desired(self, step):
        """Return the fields that the options fix."""
        options, current = step.options, step.current
        wanted = {} if current else {f"model_info.{name}": v for name, v in MANAGED_BY.items()}
        for part in PARTS:
            for name, value in (options[part] or {}).items():
                if value is not None:
                    wanted[f"{part}.{name}"] = value
        if options["secret_params"] is not None:
            wanted[f"model_info.{SECRETS_HASH}"] = self.client.fingerprint(options["secret_params"])
        return wanted

    def check(self, steps):
        """Refuse names that are taken, models without a model, and secrets that would show."""
        for step in steps:
            if not step.act or step.options["state"] == "absent":
                continue
            if step.name in self.names_in_file:
                raise Refused(
                    f"LiteLLM's configuration file has a model {step.name}, too",
                    "a name of its own, since LiteLLM would share the load between the two",
                    "choose another model_name, or take it out of the file",
                )
            params = step.options["litellm_params"] or {}
            if not step.current and not params.get("model"):
                raise Refused(
                    f"the new model {step.name} has no litellm_params.model",
                    "what LiteLLM is to call, for example openai/large-v2",
                    "add it",
                )
            shown = sorted(name for name in params if SECRET_NAME.search(name))
            if shown:
                raise Refused(
                    f"the model {step.name} has {', '.join(shown)} in litellm_params",
                    "secrets in secret_params, where they are not shown",
                    "move them there",
                )

    def create(self, step):
        """Make the model."""
        request = self._request(step, step.wanted)
        request["model_info"]["id"] = step.name
        self.client.post("/model/new", {"model_name": step.name, **request})

    def update(self, step):
        """Send what differs."""
        changed = {name: step.wanted[name] for name in step.difference.fields}
        request = self._request(step, changed)
        model_id = self.identity(step.current)
        request["model_info"]["id"] = model_id
        self.client.post(f"/model/{quote(model_id, safe='')}/update", request, method="PATCH")

    def _request(self, step, fields):
        request = {part: {} for part in PARTS}
        for field, value in fields.items():
            part, _dot, name = field.partition(".")
            request[part][name] = value
        if f"model_info.{SECRETS_HASH}" in fields:
            request["litellm_params"].update(step.options["secret_params"])
        return request

    def delete(self, step):
        """Delete the model."""
        self.client.post("/model/delete", {"id": self.identity(step.current)})

    def report(self, name, current):
        """Return what the result says of a model."""
        parts = {part: {} for part in PARTS}
        for field, value in current.items():
            part, _dot, key = field.partition(".")
            if part in parts and value is not None:
                parts[part][key] = value
        return {"model_name": name, "model_id": current.get("model_info.id") or "", **parts}


def _flat(deployment):
    flat = {"model_name": deployment.get("model_name")}
    for part in PARTS:
        for name, value in (deployment.get(part) or {}).items():
            flat[f"{part}.{name}"] = value
    return flat


def main():
    """Run the module."""
    module = AnsibleModule(**argument_spec("model_name", "models", FIELDS))
    try:
        result = LiteLLMModels(module).run()
    except ServiceError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
