#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Many files and directories in one task
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Writes files, makes directories and removes paths, all in one call. A service has a dozen
    files, and a task for each of them is most of the time of a run that changes nothing.
  - Everything is validated before anything is written. Each file is replaced atomically.
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - One diff a path. Of O(secrets) it says no more than that they differ.
  idempotent:
    support: full
options:
  directories:
    description:
      - Directories that must be there. Missing parents are made with mode V(0755), owned by who
        runs the module.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      mode:
        description: Permissions, octal as text.
        type: raw
        default: "0755"
      owner:
        description: User, by name or number. Default is who runs the module, or whom it belongs to.
        type: str
      group:
        description: Group, by name or number. Default as for O(directories[].owner).
        type: str
      exclusive:
        description:
          - Whether everything in it that the task does not list is removed, directories with all
            that they hold included.
        type: bool
        default: false
  files:
    description: Files that must be there. Their directories must exist, or be O(directories).
    type: list
    elements: dict
    default: []
    suboptions: &file
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: The file's text.
        type: str
        required: true
      mode:
        description: Permissions, octal as text. Default is V(0644), of a secret V(0600).
        type: raw
      owner:
        description: User, by name or number. Default is who runs the module, or whom it belongs to.
        type: str
      group:
        description: Group, by name or number. Default as for the owner.
        type: str
  secrets:
    description: Files whose content appears in no output, diff or log.
    type: list
    elements: dict
    default: []
    suboptions: *file
  absent:
    description:
      - Paths that must not be there. A directory must be empty, or its content be listed too.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Configuration of a service
  intranet.mcp.files:
    directories:
      - path: /etc/intranet-mcp/litellm
        mode: "0750"
        group: "10001"
    files:
      - path: /etc/intranet-mcp/litellm/config.yaml
        content: "{{ lookup('template', 'config.yaml.j2') }}"
        mode: "0640"
        group: "10001"
    secrets:
      - path: /etc/intranet-mcp/litellm/database_url
        content: "{{ database_url }}"
        owner: "10001"
        mode: "0400"
    absent:
      - /etc/intranet-mcp/litellm/config.yml

- name: These secrets and no other
  intranet.mcp.files:
    directories:
      - path: /etc/intranet-mcp/litellm/secrets
        mode: "0500"
        owner: "10001"
        exclusive: true
    secrets:
      - path: /etc/intranet-mcp/litellm/secrets/master_key
        content: "{{ master_key }}"
        owner: "10001"
        mode: "0400"
"""

RETURN = r"""
changed_paths:
  description: Paths that were changed, or in check mode would be, in the order given.
  returned: success
  type: list
  elements: str
  sample:
    - /etc/intranet-mcp/litellm/config.yaml
removed_paths:
  description: Paths that were removed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample:
    - /etc/intranet-mcp/litellm/config.yml
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: refused
    found: /etc/intranet-mcp/litellm/config.yaml is a directory
    expected: a regular file, or nothing
    action: remove it or choose another path
"""

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError, fail
from ansible_collections.intranet.mcp.plugins.module_utils.host.entry import HIDDEN
from ansible_collections.intranet.mcp.plugins.module_utils.host.files import Files, QuietModule


def entry_options(**more):
    """Return the argument spec of one entry."""
    return {
        "path": {"type": "path", "required": True},
        "mode": {"type": "raw"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        **more,
    }


def main():
    """Run the module."""
    file = entry_options(content={"type": "str", "required": True, "no_log": False})
    directory = entry_options(
        mode={"type": "raw", "default": "0755"},
        exclusive={"type": "bool", "default": False},
    )
    entries = {"type": "list", "elements": "dict", "default": []}
    module = QuietModule(
        argument_spec={
            "directories": {**entries, "options": directory},
            "files": {**entries, "options": file},
            "secrets": {**entries, "options": file, "no_log": False},  # hidden entry by entry
            "absent": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        result = Files(module.params, module.check_mode).run()
    except ServiceError as error:
        for options in module.params["secrets"]:
            options["content"] = HIDDEN
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
