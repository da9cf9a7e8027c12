#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: client_settings
short_description: Settings merged into files that belong to somebody else
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Brings settings into JSON, TOML and C(NAME=value) files and keeps everything else in them,
    comments and layout included. What was there before is kept beside a record, so that
    O(state=absent) restores the bytes. A file that changed in the meantime keeps the changes and
    loses only these settings.
  - Everything is decided before anything is written. A file that cannot be read is an error, and
    then nothing is written at all.
  - Files that an earlier call put under the same O(record_dir) and that are no longer in O(entries)
    are restored.
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - One diff a file. Of a secret file it says no more than that it differs.
  idempotent:
    support: full
options:
  state:
    description: Whether the settings are to be there.
    type: str
    choices: [present, absent]
    default: present
  entries:
    description: The settings. Ignored with O(state=absent), which goes by the record.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file, absolute or below O(base).
        type: str
        required: true
      format:
        description:
          - V(json), V(jsonc) (with comments), V(toml) and V(env) merge, V(line) adds whole lines,
            V(text) is the whole file.
        type: str
        choices: [json, jsonc, toml, env, line, text]
        required: true
      settings:
        description: A mapping, for V(line) a list of lines, for V(text) a text.
        type: raw
        required: true
      whole:
        description: Paths of JSON objects that are replaced as a whole instead of merged into.
        type: list
        elements: list
        default: []
      mode:
        description:
          - Permissions of a file that is made here, octal as text. Default is V(0644), of a secret
            V(0600). A file that is there keeps its own, unless it is a secret or a V(text).
        type: str
      secret:
        description: Whether the content appears in no output, and nobody else may read it.
        type: bool
        default: false
      when_exists:
        description: Whether a missing file stays missing.
        type: bool
        default: false
  base:
    description: Where relative paths start.
    type: path
    default: /
  record_dir:
    description: Where the record and the former files are kept, relative to O(base) or absolute.
    type: str
    required: true
  user:
    description:
      - Whose files they are. The module works as this user, so that a link in somebody's home
        leads nowhere that person could not go.
    type: str
"""

EXAMPLES = r"""
- name: Managed settings of a CLI
  intranet.mcp.client_settings:
    record_dir: /var/lib/intranet-mcp-clients
    entries:
      - path: /etc/gemini-cli/settings.json
        format: json
        settings: {general: {enableAutoUpdate: false}}

- name: A person's key
  intranet.mcp.client_settings:
    user: alice
    base: /home/alice
    record_dir: .config/intranet-mcp/undo
    entries:
      - path: .codex/.env
        format: env
        settings: {MCP_GW_KEY: "{{ key }}"}
        secret: true

- name: Everything as it was before
  intranet.mcp.client_settings:
    record_dir: /var/lib/intranet-mcp-clients
    state: absent
"""

RETURN = r"""
changed_paths:
  description: Files that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample:
    - /etc/gemini-cli/settings.json
notes:
  description: What is worth knowing of a file, for example that changes of others in it were kept.
  returned: success
  type: dict
  sample:
    /etc/gemini-cli/settings.json: changed since, the changes are kept
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: refused
    found: "/etc/gemini-cli/settings.json cannot be read (line 3: a comma or } is missing)"
    expected: valid JSON
    action: correct or move the file, then try again; nothing was changed
"""

import contextlib
import os
import pwd

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.clients.settings_install import (
    Installation,
    SettingsError,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    Unknown,
    fail,
)

HIDDEN = "(content hidden)\n"


class QuietModule(AnsibleModule):
    """Does not write its arguments to the system log, as AnsibleModule does before `main` runs."""

    def _log_invocation(self):
        pass


def entries_of(module):
    """Return the entries; secrets leave the module's arguments, which the result repeats."""
    found = []
    for given in module.params["entries"]:
        entry = {name: value for name, value in given.items() if value is not None}
        found.append(entry)
        if entry["secret"]:
            given["settings"] = HIDDEN
            is_mapping = isinstance(entry["settings"], dict)
            values = entry["settings"].values() if is_mapping else [entry["settings"]]
            module.no_log_values.update(str(value).strip() for value in values)
    return found


@contextlib.contextmanager
def acting_as(name):
    """Touch files as this user would. Only for a while: the module's own files are root's."""
    try:
        account = pwd.getpwnam(name) if name else None
    except KeyError:
        raise Unknown(
            f"there is no account {name!r} on this host", "an account", "create it, or correct user"
        ) from None
    if not account or os.geteuid() == account.pw_uid:
        yield
        return
    if os.geteuid() != 0:
        raise Refused(
            f"the task runs as uid {os.geteuid()}", f"root or {name}", "set become for the host"
        )
    group, groups = os.getegid(), os.getgroups()
    try:
        os.initgroups(name, account.pw_gid)
        os.setegid(account.pw_gid)
        os.seteuid(account.pw_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def shown(change):
    """Return a file's difference as Ansible prints it."""
    before, after = change.before or "", change.after or ""
    if change.secret:
        before, after = before and HIDDEN, after and HIDDEN + "(changed)\n"
    header = {"before_header": change.path, "after_header": change.path}
    return {**header, "before": before, "after": after}


def changes_made(module, entries):
    """Decide, and write what differs."""
    base = module.params["base"]
    installation = Installation(base, os.path.join(base, module.params["record_dir"]))
    present = module.params["state"] == "present"
    changes = installation.plan(entries) if present else installation.plan_undo()
    if not module.check_mode:
        if present:
            installation.apply(changes, entries)
        else:
            installation.apply_undo(changes)
    return changes


def report(module, changes):
    """End the module with what changed."""
    differing = [change for change in changes if change.differs]
    module.exit_json(
        changed=bool(differing),
        changed_paths=[change.path for change in differing],
        notes={change.path: change.note for change in changes if change.note},
        diff=[shown(change) for change in differing],
    )


def main():
    entry = {
        "path": {"type": "str", "required": True},
        "format": {
            "type": "str",
            "choices": ["json", "jsonc", "toml", "env", "line", "text"],
            "required": True,
        },
        "settings": {"type": "raw", "required": True},
        "whole": {"type": "list", "elements": "list", "default": []},
        "mode": {"type": "str"},
        "secret": {"type": "bool", "default": False, "no_log": False},
        "when_exists": {"type": "bool", "default": False},
    }
    module = QuietModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "entries": {"type": "list", "elements": "dict", "default": [], "options": entry},
            "base": {"type": "path", "default": "/"},
            "record_dir": {"type": "str", "required": True},
            "user": {"type": "str"},
        },
        supports_check_mode=True,
    )
    entries = entries_of(module)
    try:
        with acting_as(module.params["user"]):
            changes = changes_made(module, entries)
    except (Refused, Unknown) as error:
        fail(module, error)
    except SettingsError as error:
        fail(module, Refused(error.found, error.expected, error.action))
    except OSError as error:
        fail(
            module,
            Refused(f"writing failed ({error})", "to be allowed to", "correct the permissions"),
        )
    report(module, changes)


if __name__ == "__main__":
    main()
