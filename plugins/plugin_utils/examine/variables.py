# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Variables that an inventory sets, against what the roles say of their options."""

from __future__ import annotations

import glob
import os

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import (
    check as check_definition,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.inventory import (
    unknown_variables,
)

ROLES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "roles")


def variable_problems(task_vars, template):
    """Variables of ours that the inventory sets, against the roles' argument specs."""
    specs, prefixes = argument_specs()
    problems = unknown_variables(list(task_vars), set(specs), prefixes)
    for name in sorted(set(specs) & set(task_vars)):
        try:
            value = template(task_vars[name])
        except AnsibleError:
            continue  # needs what only its role knows; the role's own validation sees it
        problems += value_problems(name, value, specs[name])
    return problems


def value_problems(name, value, spec):
    checked = ArgumentSpecValidator({name: spec}).validate({name: value})
    if checked.error_messages:
        text = "; ".join(checked.error_messages)
        for leaf in leaves(value) if holds_secret(spec) else ():
            text = text.replace(repr(leaf), "'...'")
        if spec.get("no_log"):
            text = "a secret value of the wrong type"
        return [
            Finding(
                "inventory",
                f"variable {name}: {text}",
                f"type {spec.get('type', 'str')}",
                "correct it in the inventory",
            )
        ]
    if name.endswith("_service") and isinstance(value, dict):
        try:
            check_definition(value)
        except Unusable as error:
            return [Finding("inventory", f"variable {name}: {error}", "a definition", "correct it")]
    return []


def holds_secret(spec):
    """Whether an option inside this one must not be shown."""
    inner = spec.get("options", {}).values()
    return any(option.get("no_log") or holds_secret(option) for option in inner)


def leaves(value):
    """Every value inside a value that is no list or dict."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return [value]
    return [leaf for inner in value for leaf in leaves(inner)]


def argument_specs():
    """Every option of the roles' main entry points, and the prefixes of their names.

    The platform's variables have another, where they are validated once a run.
    """
    specs, prefixes = {}, set()
    for path in sorted(glob.glob(os.path.join(ROLES, "*", "meta", "argument_specs.yml"))):
        with open(path, encoding="utf-8") as file:
            entries = yaml_load(file)["argument_specs"]
        for entry in ("validate", "main"):
            specs.update(entries.get(entry, {}).get("options", {}))
        prefixes.add(path.split(os.sep)[-3] + "_")
    return specs, prefixes
