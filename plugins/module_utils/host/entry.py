# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A file or directory of a host: what is there, what must be, how one becomes the other."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import stat
import tempfile

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused, Unknown

HIDDEN = "(content hidden)\n"
DEFAULT_MODES = {"files": "0644", "secrets": "0600"}
BINARY = "(not text)\n"


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
                self._make_directory()
            self._own(self.path)
        elif self._content_differs:
            self._replace()
        else:
            self._own(self.path)

    def _make_directory(self):
        try:
            os.mkdir(self.path, 0o700)
        except FileExistsError:
            # On the control node the tasks of several hosts may make the same one at once.
            if os.path.islink(self.path) or not os.path.isdir(self.path):
                raise

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
