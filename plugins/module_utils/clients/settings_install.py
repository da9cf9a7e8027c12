# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Brings settings into files that belong to somebody else, and takes them out again.

Decides everything first (`plan`), then writes (`apply`). What was there is kept beside a record, so
that undoing restores the bytes; a file that changed in the meantime keeps the changes and loses
only what was put in. The same code serves `install.sh` on a developer's machine and the module
`client_settings` on hosts, with any Python of 3.8 or later and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile

from . import settings_json, settings_toml
from .settings_json import Broken, Conflict
from .settings_lines import Env, Line

FORMATS = {
    "json": settings_json.Strict,
    "jsonc": settings_json,
    "toml": settings_toml,
    "env": Env,
    "line": Line,
}
RECORD = "record.json"


class SettingsError(Exception):
    """Nothing was written; says what was found, what was expected and what to do."""

    def __init__(self, found, expected, action):
        super().__init__(found, expected, action)
        self.found, self.expected, self.action = found, expected, action

    def __str__(self):
        return f"{self.found}, expected {self.expected}: {self.action}"


class Change:
    """What happens to one file. Texts are None where there is no file."""

    def __init__(self, path, before, after, mode, secret=False, note=""):
        self.path, self.before, self.after = path, before, after
        self.mode, self.secret, self.note = mode, secret, note
        self.mode_before = _mode(path)

    @property
    def differs(self):
        """Tell whether something is to be written."""
        if self.after is None:
            return self.before is not None
        return self.before != self.after or self.mode_before != self.mode


class Installation:
    """The settings below one place (a home, or / on a host), and the folder of its record."""

    def __init__(self, base, record_dir):
        self.base, self.record_dir = base, record_dir
        self.record = self._read_record()

    # --- deciding ---

    def plan(self, entries):
        """Return the changes that make the entries so, each a dict.

        An entry has `path`, `format` (json, jsonc, toml, env, line or text), `settings` (a
        structure, or the text of a file), and perhaps `whole`, `mode`, `secret` and `when_exists`
        (leave a missing file missing).
        """
        wanted = {entry["path"] for entry in entries}
        changes = [self._undone(known) for known in self._known() if known["path"] not in wanted]
        for entry in entries:
            path = self._absolute(entry["path"])
            if entry.get("when_exists") and not os.path.exists(path):
                continue
            changes.append(self._merged(entry, path))
        return changes

    def plan_undo(self):
        """Return the changes that take everything out again."""
        return [self._undone(known) for known in reversed(self._known())]

    def _merged(self, entry, path):
        before = _read(path)
        known = self.record["files"].get(entry["path"])
        mode = self._mode_of(entry, path)
        if entry["format"] == "text":
            return Change(path, before, entry["settings"], mode, entry.get("secret", False))
        edit = FORMATS[entry["format"]]
        pairs = _leaves(entry)
        with _explained(path, edit):
            edit.check(before or "")
            text = before or ""
            if known:
                old = [pair for pair in _pairs(known) if pair not in pairs]
                text = unmerge(edit, text, old, self._backup(known))
            text = merge(edit, text, pairs)
            edit.check(text)
        return Change(path, before, text, mode, entry.get("secret", False))

    def _mode_of(self, entry, path):
        """A secret is its owner's alone; otherwise a file that is there keeps its mode."""
        there = _mode(path)
        if entry.get("secret") or there is None or entry["format"] == "text":
            return int(entry.get("mode", "0600" if entry.get("secret") else "0644"), 8)
        return there

    def _undone(self, known):
        path = self._absolute(known["path"])
        before, original = _read(path), self._backup(known)
        mode = known["mode_before"] if known["mode_before"] is not None else _mode(path)
        if before is None:
            return Change(path, None, None, None, note="is gone already")
        if _digest(before) == known["written"]:
            return Change(path, before, original, mode, known["secret"])
        if known["format"] == "text":
            return Change(path, before, before, _mode(path), known["secret"], "changed since, kept")
        edit = FORMATS[known["format"]]
        with _explained(path, edit):
            edit.check(before)
            text = unmerge(edit, before, _pairs(known), original)
            if text == (original or "") or (original is None and edit.is_blank(text)):
                text = original
        note = "changed since, the changes are kept" if text is not None else ""
        return Change(path, before, text, mode, known["secret"], note)

    # --- writing ---

    def apply(self, changes, entries):
        """Write the changes. The record comes first, so that a broken run can be undone too."""
        by_path = {self._absolute(entry["path"]): entry for entry in entries}
        wanted = {entry["path"] for entry in entries}
        gone = [known for known in self._known() if known["path"] not in wanted]
        for change in changes:
            entry = by_path.get(change.path)
            if entry:
                self._remember(entry, change)
        self._write_record()
        for change in changes:
            _write(change)
        for known in gone:
            self._drop_record(known)
        if gone:
            self._write_record()

    def apply_undo(self, changes):
        """Write the changes and drop the record."""
        for change in changes:
            _write(change)
        for known in reversed(self._known()):
            self._drop_record(known)
        if not os.path.isdir(self.record_dir):
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.record_dir, RECORD))
        _remove_empty([self.record_dir, *self.record.get("made", [])])

    def _remember(self, entry, change):
        files = self.record["files"]
        known = files.get(entry["path"])
        if not known:
            made = _missing_directories(os.path.dirname(change.path))
            known = {"backup": None, "mode_before": change.mode_before, "made": made}
            if change.before is not None:
                known["backup"] = hashlib.sha256(entry["path"].encode()).hexdigest()[:16]
                self._make_record_dir()
                _write_text(os.path.join(self.record_dir, known["backup"]), change.before, 0o600)
        pairs = [] if entry["format"] == "text" else _leaves(entry)
        files[entry["path"]] = {
            **known,
            "path": entry["path"],
            "format": entry["format"],
            "secret": entry.get("secret", False),
            "leaves": [[list(path), value] for path, value in pairs],
            "written": _digest(change.after),
        }

    def _drop_record(self, known):
        if known["backup"]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.record_dir, known["backup"]))
        _remove_empty(known["made"])
        self.record["files"].pop(known["path"], None)

    # --- the record ---

    def _known(self):
        return list(self.record["files"].values())

    def _backup(self, known):
        if not known["backup"]:
            return None
        text = _read(os.path.join(self.record_dir, known["backup"]))
        if text is None:
            raise SettingsError(
                f"the backup of {known['path']} is missing from {self.record_dir}",
                "the file as it was before",
                "restore it there from a backup of your own, or edit the file by hand",
            )
        return text

    def _read_record(self):
        path = os.path.join(self.record_dir, RECORD)
        text = _read(path)
        if text is None:
            return {"files": {}, "made": []}
        try:
            return json.loads(text)
        except ValueError as error:
            raise SettingsError(
                f"the record {path} is damaged ({error})",
                "what was written at the last installation",
                "restore it, or move it away (then what is there now counts as yours)",
            ) from error

    def _make_record_dir(self):
        if not os.path.isdir(self.record_dir):
            self.record["made"] = _missing_directories(os.path.dirname(self.record_dir))
            os.makedirs(self.record_dir, 0o700)

    def _write_record(self):
        self._make_record_dir()
        path = os.path.join(self.record_dir, RECORD)
        text = json.dumps(self.record, indent=1, sort_keys=True) + "\n"
        if _read(path) != text:
            _write_text(path, text, 0o600)

    def _absolute(self, path):
        # A dotfile may be a link into somebody's repository; what it points at is what is edited.
        return os.path.realpath(os.path.join(self.base, path))


# --- merging, pure --------------------------------------------------------------------------------


def rendered(entry):
    """Return the text of a file that holds nothing but the entry's settings."""
    if entry["format"] == "text":
        return entry["settings"]
    return merge(FORMATS[entry["format"]], "", _leaves(entry))


def merge(edit, text, pairs):
    """Return the text with every setting in it; lists gain what they lack."""
    for path, value in pairs:
        current = edit.get(text, path)
        if isinstance(value, list) and isinstance(current, list):
            value = current + [item for item in value if item not in current]
        if current != value:
            text = edit.put(text, path, value)
    return text


def unmerge(edit, text, pairs, original):
    """Return the text without the settings; what they replaced returns, what was changed stays."""
    original = original or ""
    for path, value in reversed(pairs):
        current, before = edit.get(text, path), edit.get(original, path)
        if isinstance(value, list) and isinstance(current, list):
            kept = before if isinstance(before, list) else []
            rest = [item for item in current if item not in value or item in kept]
            is_ours, before = rest != current, rest or before
        else:
            is_ours = current is not None and current == value and current != before
        if is_ours and before is not None:
            text = edit.put(text, path, before)
        elif is_ours:
            text = _without_empty_parents(edit, edit.drop(text, path), path, original)
    return text


def _without_empty_parents(edit, text, path, original):
    for depth in range(len(path) - 1, 0, -1):
        if edit.get(text, path[:depth]) != {} or edit.get(original, path[:depth]) is not None:
            break
        text = edit.drop(text, path[:depth])
    return text


def _leaves(entry):
    edit, settings = FORMATS[entry["format"]], entry["settings"]
    read = edit.leaves_of if isinstance(settings, str) else edit.leaves
    return list(read(settings, [tuple(path) for path in entry.get("whole", [])]))


def _pairs(known):
    return [(tuple(path), value) for path, value in known["leaves"]]


@contextlib.contextmanager
def _explained(path, edit):
    try:
        yield
    except Broken as error:
        raise SettingsError(
            f"{path} cannot be read ({error})",
            f"valid {edit.NAME}",
            "correct or move the file, then try again; nothing was changed",
        ) from error
    except Conflict as error:
        raise SettingsError(
            f"in {path} {error}",
            "room for the platform's settings",
            "change it by hand, then try again; nothing was changed",
        ) from error


# --- files ----------------------------------------------------------------------------------------


def _read(path):
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read ({error})",
            "a text file of yours, or none",
            "correct or move it, then try again; nothing was changed",
        ) from error


def _write(change):
    if not change.differs:
        return
    if change.after is None:
        os.unlink(change.path)
    elif change.before == change.after:
        os.chmod(change.path, change.mode)
    else:
        os.makedirs(os.path.dirname(change.path), 0o755, exist_ok=True)
        _write_text(change.path, change.after, change.mode)


def _write_text(path, text, mode):
    """Replace the file in one step, so that nobody reads half of it."""
    folder, name = os.path.split(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _mode(path):
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def _missing_directories(folder):
    """Return the directories that writing into the folder will make, innermost first."""
    found = []
    while not os.path.isdir(folder):
        found.append(folder)
        folder = os.path.dirname(folder)
    return found


def _remove_empty(folders):
    for folder in folders:
        with contextlib.suppress(OSError):
            os.rmdir(folder)
