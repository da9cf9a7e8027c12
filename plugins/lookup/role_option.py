# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: role_option
author: intranet.mcp contributors (@intranet-mcp)
version_added: 0.1.0
short_description: What an option of another role is here
description:
  - Returns the value that the inventory gives an option of one of this collection's roles, else the
    default of that role.
  - For roles that examine what another role deploys. They run without it, so its defaults are no
    variables of theirs.
options:
  _terms:
    description: Names of options, for example V(ollama_context_length).
    required: true
"""

EXAMPLES = r"""
- name: Show the context that models get on this host
  ansible.builtin.debug:
    msg: "{{ lookup('intranet.mcp.role_option', 'ollama_context_length') }} tokens"
"""

RETURN = r"""
_raw:
  description: The values, one a name.
  type: list
  elements: raw
"""

import os

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

ROLES = os.path.join(os.path.dirname(__file__), "..", "..", "roles")


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        return [self._value(name, variables) for name in terms]

    def _value(self, name, variables):
        if name in variables:
            return self._templar.template(variables[name])
        defaults = self._defaults(name)
        # A default may be made of others.
        templar = self._templar.copy_with_new_env(available_variables={**defaults, **variables})
        return templar.template(defaults[name])

    def _defaults(self, name):
        """The defaults of the role whose option this is."""
        roles = (role for role in os.listdir(ROLES) if name.startswith(f"{role}_"))
        for role in sorted(roles, key=len, reverse=True):
            path = os.path.join(ROLES, role, "defaults", "main.yml")
            defaults = self._loader.load_from_file(path, trusted_as_template=True)
            if name in defaults:
                return defaults
        raise AnsibleLookupError(
            f"role_option: found no default of {name} in any role, expected the option of a role "
            "of intranet.mcp: correct its name"
        )
