# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: state
author: intranet.mcp contributors (@intranet-mcp)
short_description: Where the control node keeps a kind of files of the platform
description:
  - Returns folders of C(platform_state_dir), which is C(.intranet-mcp) beside the inventory file
    that names the platform's hosts, unless it is set. Ansible reads an inventory directory as a
    whole, but for names with a leading dot.
  - With several inventories it is the one beside which there are secrets already, else that of the
    platform's first host.
  - What earlier versions kept in the inventory's folder itself is moved there, and a line is
    displayed for each. In check mode nothing is moved.
options:
  _terms:
    description: V(secrets), V(reports), V(clients), V(cache) or V(nginx).
    required: true
"""

EXAMPLES = r"""
- name: Find the reports
  ansible.builtin.find:
    paths: "{{ lookup('intranet.mcp.state', 'reports') }}"
  delegate_to: localhost
"""

RETURN = r"""
_raw:
  description: The folders, one a kind. They need not exist.
  type: list
  elements: str
"""

import os

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display
from ansible_collections.intranet.mcp.plugins.plugin_utils.state import directory

display = Display()


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        unknown = [term for term in terms if term not in directory.MARKS]
        if unknown:
            raise AnsibleLookupError(
                f"state: found {unknown[0]!r}, expected one of {', '.join(directory.MARKS)}"
            )
        try:
            return self._paths(terms, variables)
        except directory.StateError as error:
            raise AnsibleLookupError(f"state: {error}") from error

    def _paths(self, kinds, variables):
        given = self._templar.template(variables.get("platform_state_dir") or "")
        folders = [folder for folder in inventory_folders(variables) if folder]
        state = given or directory.home(folders)
        # An earlier version left things where the state is now, or where it would be.
        left = os.path.dirname(state) if not given else next(iter(folders), "")
        if not left:
            return [os.path.join(state, kind) for kind in kinds]
        if variables.get("ansible_check_mode"):
            return [directory.path(state, left, kind) for kind in kinds]
        for line in directory.move(state, left, ours(variables)):
            display.display(line)
        directory.keep_out_of_git(state)
        return [os.path.join(state, kind) for kind in kinds]


def inventory_folders(variables):
    """Return where the inventory names hosts, those of the platform's groups first of all."""
    groups = variables["groups"]
    catalog = variables.get("platform_services") or {}
    of_platform = {
        host for entry in catalog.values() for host in groups.get(entry.get("group"), [])
    }
    hosts = [host for host in groups["all"] if host in of_platform] or groups["all"]
    hostvars = variables["hostvars"]
    return [*dict.fromkeys(hostvars[host].get("inventory_dir") for host in hosts)]


def ours(variables):
    """Return the kinds whose folder the site has not put elsewhere."""
    said = {kind: variables.get(directory.variable(kind)) for kind in directory.MARKS}
    return [kind for kind, text in said.items() if not text or "intranet.mcp.state" in str(text)]
