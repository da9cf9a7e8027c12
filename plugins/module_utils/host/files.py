# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The files and directories of a host: everything is validated, then written."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    NoSpace,
    Refused,
    Unauthorized,
)
from ansible_collections.intranet.mcp.plugins.module_utils.host.entry import (
    DEFAULT_MODES,
    Entry,
)


class QuietModule(AnsibleModule):
    """Does not write its arguments to the system log, as AnsibleModule does before `main` runs."""

    def _log_invocation(self):
        pass


class Files:
    """Brings all paths to their desired state.

    wanted: directories, files and secrets, each a list of an Entry's options, and absent: paths.
    """

    def __init__(self, wanted, is_dry):
        self.wanted, self.is_dry = wanted, is_dry
        self.entries, self.doomed = [], []

    def run(self):
        """Validate everything, then write."""
        self.read()
        changed = [entry for entry in self.entries if entry.differs]
        diffs = [entry.diff() for entry in changed]
        diffs += [{"before_header": p, "before": f"{p}\n", "after": ""} for p in self.doomed]
        if not self.is_dry:
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
        sections = [(s, o) for s in ("directories", *DEFAULT_MODES) for o in self.wanted[s]]
        paths = [options["path"] for _section, options in sections] + self.wanted["absent"]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        if twice:
            raise Refused(
                f"{', '.join(twice)} is listed more than once",
                "every path once",
                "remove or merge the entries",
            )
        planned = {options["path"] for options in self.wanted["directories"]}
        for section, options in sections:
            entry = self._guarded(options["path"], Entry, section, options, planned)
            self.entries.append(entry)
        self.doomed = [path for path in self.wanted["absent"] if os.path.lexists(path)]
        for options in self.wanted["directories"]:
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
