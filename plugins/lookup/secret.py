# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
author: intranet.mcp contributors (@intranet-mcp)
short_description: A secret of the site, generated once
description:
  - Returns the named entry of C(platform_secrets) (the place for Ansible Vault), else the content
    of the file of that name in C(platform_secrets_dir), else generates it there (mode 0600).
  - The password of a PostgreSQL or Redis elsewhere (C(host) of C(platform_database) or
    C(platform_redis)) is never generated. Where it is missing it is empty; preflight asks for it.
  - In check mode a missing secret is not written; a throwaway value stands in for it.
options:
  _terms:
    description: Names of secrets, for example V(litellm_master_key).
    required: true
  prefix:
    description: What a generated value starts with (LiteLLM keys start with V(sk-)).
    type: str
    default: ""
  length:
    description: Characters generated after O(prefix).
    type: int
    default: 40
"""

EXAMPLES = r"""
- name: Use the master key
  ansible.builtin.set_fact:
    key: "{{ lookup('intranet.mcp.secret', 'litellm_master_key', prefix='sk-') }}"
"""

RETURN = r"""
_raw:
  description: The values, one a name.
  type: list
  elements: str
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.intranet.mcp.plugins.module_utils.topology.external import SECRETS
from ansible_collections.intranet.mcp.plugins.plugin_utils.state.secrets import SecretError, Secrets
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import external_from


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        render = self._templar.template
        store = Secrets(
            folder=render(variables.get("platform_secrets_dir") or ""),
            given=render(variables.get("platform_secrets") or {}),
            is_dry=bool(variables.get("ansible_check_mode")),
            others=frozenset(
                name
                for service, name in SECRETS.items()
                if name in terms and external_from(variables, render)[service].get("host")
            ),
        )
        prefix, length = self.get_option("prefix"), self.get_option("length")
        try:
            return [store.get(name, prefix, length) for name in terms]
        except SecretError as error:
            raise AnsibleLookupError(f"secret: {error}") from error
