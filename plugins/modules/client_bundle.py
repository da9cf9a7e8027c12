#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: client_bundle
short_description: A private folder and an archive of it
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Makes a folder hold exactly these files, and a C(.tar.gz) of it beside it. Both are for their
    owner alone (C(0700), C(0600)), because they hold a key. The archive is the same for the same
    files, so that a second run changes nothing.
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
  path:
    description: The folder; the archive is this path with C(.tar.gz).
    type: path
    required: true
  state:
    description: Whether both are to be there.
    type: str
    choices: [present, absent]
    default: present
  files:
    description: What is in the folder. Everything else in it is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path below the folder.
        type: str
        required: true
      content:
        description: The file's text.
        type: str
        required: true
      mode:
        description: Permissions, V(0600) or V(0700).
        type: str
        choices: ["0600", "0700"]
        default: "0600"
      secret:
        description: Whether the content appears in no output.
        type: bool
        default: false
"""

EXAMPLES = r"""
- name: A bundle for a person
  intranet.mcp.client_bundle:
    path: "{{ inventory_dir }}/clients/alice"
    files:
      - {path: README.md, content: "Hello"}
      - {path: key, content: "{{ key }}", secret: true}
  delegate_to: localhost
"""

RETURN = r"""
archive:
  description: The archive.
  returned: success
  type: str
  sample: /srv/platform/inventories/mine/clients/alice.tar.gz
changed_paths:
  description: Paths that were written or removed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample:
    - /srv/platform/inventories/mine/clients/alice/README.md
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: refused
    found: the file path '../x' leaves the folder
    expected: a path below it
    action: correct it
"""

import gzip
import io
import os
import shutil
import stat
import tarfile
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    ServiceError,
    fail,
)

HIDDEN = "(content hidden)\n"


class QuietModule(AnsibleModule):
    """Does not write its arguments to the system log, as AnsibleModule does before `main` runs."""

    def _log_invocation(self):
        pass


class Bundle:
    """What is there, what must be, and the way between."""

    def __init__(self, module):
        self.module = module
        self.path = module.params["path"]
        self.archive = self.path + ".tar.gz"
        self.is_present = module.params["state"] == "present"
        self.secrets = {f["path"] for f in module.params["files"] if f["secret"]}
        self.wanted = {}
        for file in module.params["files"] if self.is_present else []:
            self.wanted[_below(file["path"])] = (int(file["mode"], 8), file["content"].encode())
        for file in module.params["files"]:
            if file["secret"]:
                module.no_log_values.add(file["content"].strip())
                file["content"] = HIDDEN  # the result repeats the module's arguments
        self.current = self.read()

    def read(self):
        """Return mode and content of each file below the folder."""
        found = {}
        for folder, _folders, names in os.walk(self.path):
            for name in names:
                path = os.path.join(folder, name)
                relative = os.path.relpath(path, self.path)
                if os.path.islink(path):
                    found[relative] = (0, os.readlink(path).encode())
                    continue
                with open(path, "rb") as stream:
                    found[relative] = (stat.S_IMODE(os.stat(path).st_mode), stream.read())
        return found

    def run(self):
        """Compare, write, report."""
        names = sorted({*self.current, *self.wanted})
        differing = [n for n in names if self.current.get(n) != self.wanted.get(n)]
        packed = _packed(os.path.basename(self.path), self.wanted) if self.is_present else None
        archive_differs = _archive(self.archive) != (packed and (0o600, packed))
        loose = [folder for folder in self._folders() if not _is_private(folder)]
        if not self.module.check_mode:
            self._apply(differing, packed if archive_differs else None)
        changed = [os.path.join(self.path, name) for name in differing] + loose
        changed += [self.archive] if archive_differs else []
        self.module.exit_json(
            changed=bool(changed),
            archive=self.archive,
            changed_paths=changed,
            diff=[self._shown(name) for name in differing],
        )

    def _apply(self, differing, packed):
        if not self.is_present:
            shutil.rmtree(self.path, ignore_errors=True)
            if os.path.exists(self.archive):
                os.unlink(self.archive)
            return
        for folder in self._folders():
            _make_private(folder)
        for name in differing:
            path = os.path.join(self.path, name)
            if name in self.wanted:
                mode, content = self.wanted[name]
                _write(path, content, mode)
            else:
                os.unlink(path)
        if packed is not None:
            _write(self.archive, packed, 0o600)

    def _folders(self):
        """Return the folder and those below it, outermost first."""
        if not self.is_present:
            return []
        found = {self.path}
        for name in self.wanted:
            parts = name.split("/")[:-1]
            found |= {os.path.join(self.path, *parts[:i]) for i in range(1, len(parts) + 1)}
        return sorted(found)

    def _shown(self, name):
        path = os.path.join(self.path, name)
        sides = []
        for side in (self.current, self.wanted):
            text = side[name][1].decode(errors="replace") if name in side else ""
            sides.append(HIDDEN if text and name in self.secrets else text)
        if name in self.secrets and sides[1]:
            sides[1] += "(changed)\n"
        header = {"before_header": path, "after_header": path}
        return {**header, "before": sides[0], "after": sides[1]}


def _below(path):
    if path.startswith("/") or ".." in path.split("/"):
        raise Refused(f"the file path {path!r} leaves the folder", "a path below it", "correct it")
    return path


def _is_private(folder):
    return os.path.isdir(folder) and stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def _make_private(folder):
    """Make the folder, and parents that are missing; parents that are there stay as they are."""
    if not os.path.isdir(os.path.dirname(folder)):
        _make_private(os.path.dirname(folder))
    if not os.path.isdir(folder):
        os.mkdir(folder, 0o700)
    os.chmod(folder, 0o700)


def _archive(path):
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        return stat.S_IMODE(os.fstat(stream.fileno()).st_mode), stream.read()


def _packed(name, files):
    """Return the archive. Nothing of this machine or moment is in it."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        root = tarfile.TarInfo(f"intranet-mcp-{name}")
        root.type, root.mode = tarfile.DIRTYPE, 0o700
        archive.addfile(root)
        for path, (mode, content) in sorted(files.items()):
            member = tarfile.TarInfo(f"intranet-mcp-{name}/{path}")
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _write(path, content, mode):
    descriptor, temporary = tempfile.mkstemp(prefix=".new.", dir=os.path.dirname(path))
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    os.chmod(temporary, mode)
    os.replace(temporary, path)


def main():
    file = {
        "path": {"type": "str", "required": True},
        "content": {"type": "str", "required": True},
        "mode": {"type": "str", "choices": ["0600", "0700"], "default": "0600"},
        "secret": {"type": "bool", "default": False, "no_log": False},
    }
    module = QuietModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "files": {"type": "list", "elements": "dict", "default": [], "options": file},
        },
        supports_check_mode=True,
    )
    try:
        Bundle(module).run()
    except ServiceError as error:
        fail(module, error)
    except OSError as error:
        fail(
            module,
            Refused(
                f"writing below {module.params['path']} failed ({error})",
                "a folder of yours",
                "correct the permissions, or choose another clients_dir",
            ),
        )


if __name__ == "__main__":
    main()
