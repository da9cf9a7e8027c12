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

import contextlib
import grp
import os
import pwd
import re
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    NoSpace,
    Refused,
    ServiceError,
    Unauthorized,
    Unknown,
    fail,
)

HIDDEN = "(content hidden)\n"
DEFAULT_MODES = {"files": "0644", "secrets": "0600"}
BINARY = "(not text)\n"


class QuietModule(AnsibleModule):
    """Does not write its arguments to the system log, as AnsibleModule does before `main` runs."""

    def _log_invocation(self):
        pass


class Entry:
    """One file or directory: what is there and what must be."""

    def __init__(self, section, options, planned_directories):
        self.path = options["path"]
        self.kind = "directory" if section == "directories" else "file"
        self.secret = section == "secrets"
        self._planned_directories = planned_directories
        self.mode = self._mode(options["mode"] or DEFAULT_MODES.get(section))
        self.uid = _identity(self.path, options["owner"], "owner", pwd.getpwnam, "pw_uid")
        self.gid = _identity(self.path, options["group"], "group", grp.getgrnam, "gr_gid")
        self.content = options["content"].encode() if self.kind == "file" else None
        if self.secret:
            options["content"] = HIDDEN  # the result repeats the module's arguments
        self.read()
        self._validate()

    def read(self):
        """Read what is there."""
        self.present = self._lstat()
        self.current = None
        if self.present and self.kind == "file" and stat.S_ISREG(self.present.st_mode):
            with open(self.path, "rb") as stream:
                self.current = stream.read()

    @property
    def differs(self):
        """True when something is to do."""
        return self._state(before=True) != self._state(before=False) or self._content_differs

    @property
    def _content_differs(self):
        return self.kind == "file" and self.current != self.content

    def diff(self):
        """Return the difference as Ansible prints it."""
        differing = {"before_header": self.path, "after_header": self.path}
        if self._content_differs:
            differing["before"] = self._shown(self.current)
            differing["after"] = self._shown(self.content)
            if self.secret:
                differing["after"] = HIDDEN + "(changed)\n"
        before, after = self._state(before=True), self._state(before=False)
        differing["before"] = before + differing.get("before", "")
        differing["after"] = after + differing.get("after", "")
        return differing

    def apply(self):
        """Write it."""
        if self.kind == "directory":
            if not os.path.isdir(self.path):  # a directory below it may have made it by now
                os.makedirs(os.path.dirname(self.path), 0o755, exist_ok=True)
                os.mkdir(self.path, 0o700)
            self._own(self.path)
        elif self._content_differs:
            self._replace()
        else:
            self._own(self.path)

    def _replace(self):
        folder, name = os.path.split(self.path)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(self.content)
                stream.flush()
                os.fsync(stream.fileno())
            if self.present:
                os.chown(temporary, self.present.st_uid, self.present.st_gid)
            self._own(temporary)
            os.replace(temporary, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _own(self, path):
        if self.uid is not None or self.gid is not None:
            keep = -1
            os.chown(
                path,
                keep if self.uid is None else self.uid,
                keep if self.gid is None else self.gid,
            )
        os.chmod(path, self.mode)  # after chown, which clears set-id bits

    def _state(self, before):
        """Return mode and ownership as a line; what is not asked for is what is there."""
        if before and not self.present:
            return ""
        if before:
            mode = stat.S_IMODE(self.present.st_mode)
            uid, gid = self.present.st_uid, self.present.st_gid
        else:
            mode = self.mode
            uid = self._kept(self.uid, "st_uid", os.geteuid)
            gid = self._kept(self.gid, "st_gid", os.getegid)
        return f"# {self.kind} {mode:04o} {uid}:{gid}\n"

    def _kept(self, wanted, field, of_process):
        if wanted is not None:
            return wanted
        return getattr(self.present, field) if self.present else of_process()

    def _shown(self, content):
        if content is None:
            return ""
        if self.secret:
            return HIDDEN
        try:
            return content.decode()
        except UnicodeDecodeError:
            return BINARY

    def _lstat(self):
        try:
            return os.lstat(self.path)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            raise self._no_parent() from None

    def _mode(self, text):
        # YAML reads a bare 0640 as the number 416, whose digits are octal again.
        if not isinstance(text, str) or not re.fullmatch(r"0?[0-7]{3,4}", text):
            raise Refused(
                f"{self.path} has the mode {text!r}",
                "three or four octal digits as text",
                'write it in quotes, for example "0640"',
            )
        return int(text, 8)

    def _validate(self):
        if not os.path.isabs(self.path):
            raise Refused(f"{self.path} is relative", "an absolute path", "write it in full")
        parent = os.path.dirname(self.path)
        is_planned = self.kind == "directory" or parent in self._planned_directories
        if not is_planned and not os.path.isdir(parent):
            raise self._no_parent()
        if not self.present:
            return
        wanted = stat.S_ISDIR if self.kind == "directory" else stat.S_ISREG
        if not wanted(self.present.st_mode):
            name = "directory" if self.kind == "directory" else "regular file"
            raise Refused(
                f"{self.path} is {_kind_of(self.present.st_mode)}",
                f"a {name}, or nothing",
                "remove it or choose another path",
            )

    def _no_parent(self):
        return Unknown(
            f"{os.path.dirname(self.path)} is no directory",
            f"a directory for {self.path}",
            "list it in directories, or correct the path",
        )


class Files:
    """Brings all paths to their desired state."""

    def __init__(self, module):
        self.module, self.params = module, module.params
        self.entries, self.doomed = [], []

    def run(self):
        """Validate everything, then write."""
        self.read()
        changed = [entry for entry in self.entries if entry.differs]
        diffs = [entry.diff() for entry in changed]
        diffs += [{"before_header": p, "before": f"{p}\n", "after": ""} for p in self.doomed]
        if not self.module.check_mode:
            for entry in changed:
                self._guarded(entry.path, entry.apply)
            for path in self.doomed:
                self._guarded(path, _remove, path)
        return {
            "changed": bool(changed or self.doomed),
            "changed_paths": [entry.path for entry in changed],
            "removed_paths": self.doomed,
            "diff": diffs,
        }

    def read(self):
        """Inspect every path and refuse what cannot be done."""
        sections = [(s, o) for s in ("directories", *DEFAULT_MODES) for o in self.params[s]]
        paths = [options["path"] for _section, options in sections] + self.params["absent"]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        if twice:
            raise Refused(
                f"{', '.join(twice)} is listed more than once",
                "every path once",
                "remove or merge the entries",
            )
        planned = {options["path"] for options in self.params["directories"]}
        for section, options in sections:
            entry = self._guarded(options["path"], Entry, section, options, planned)
            self.entries.append(entry)
        self.doomed = [path for path in self.params["absent"] if os.path.lexists(path)]
        for options in self.params["directories"]:
            if options["exclusive"] and os.path.isdir(options["path"]):
                self.doomed += self._guarded(options["path"], _unlisted, options["path"], paths)
        for path in self.doomed:
            self._guarded(path, _check_removable, path, self.doomed)

    def _guarded(self, path, function, *arguments):
        """Call a function; what the operating system refuses is told in words."""
        try:
            return function(*arguments)
        except PermissionError as error:
            raise Unauthorized(
                f"{path} may not be read or changed ({error.strerror})",
                "a user who may",
                "use become, or correct the path",
            ) from error
        except OSError as error:
            kind = NoSpace if error.errno in (28, 122) else Refused
            raise kind(
                f"{path} cannot be written ({error.strerror})",
                "a file system that takes it",
                "check free space, quotas and mount options of its directory",
            ) from error


def _identity(path, name, what, look_up, field):
    if name is None or name.isdigit():
        return None if name is None else int(name)
    try:
        return getattr(look_up(name), field)
    except KeyError:
        raise Unknown(
            f"{path} names the {what} {name}, which this host does not have",
            "a name it has, or a number",
            f"create it first, or correct {what}",
        ) from None


def _kind_of(mode):
    kinds = {
        stat.S_ISDIR: "a directory",
        stat.S_ISREG: "a file",
        stat.S_ISLNK: "a symbolic link",
    }
    return next((name for test, name in kinds.items() if test(mode)), "a special file")


def _unlisted(directory, listed):
    """Return what is in a directory and not listed, content before its directory."""
    found = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if path in listed:
            continue
        if os.path.isdir(path) and not os.path.islink(path):
            found += _unlisted(path, listed)
        found.append(path)
    return found


def _check_removable(path, doomed):
    if not os.path.isdir(path) or os.path.islink(path):
        return
    left = [name for name in os.listdir(path) if os.path.join(path, name) not in doomed]
    if left:
        raise Refused(
            f"{path} is a directory that holds {', '.join(sorted(left)[:5])}",
            "an empty one",
            "list its content as absent, before it",
        )


def _remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    else:
        os.unlink(path)


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
        result = Files(module).run()
    except ServiceError as error:
        for options in module.params["secrets"]:
            options["content"] = HIDDEN
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
