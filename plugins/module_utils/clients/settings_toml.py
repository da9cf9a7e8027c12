# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Edits TOML settings in place: what is not ours keeps its layout and its comments. Pure.

Python can read TOML from 3.11 on and cannot write it at all. This knows just enough of the grammar
to find a statement and its value; where Python has a reader, it has the last word.
"""

from __future__ import annotations

import json
import re

from .settings_json import Broken, Conflict

try:
    import tomllib
except ImportError:  # before Python 3.11
    tomllib = None

NAME = "TOML"
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'', re.DOTALL
)


class Statement:
    """A header or a pair: its whole path, its section, and where it and its value stand."""

    def __init__(self, start, path, section):
        self.start, self.path, self.section = start, path, section
        self.is_header = self.is_array = False
        self.value_start = self.value_end = self.end = start


# --- the edits ------------------------------------------------------------------------------------


def leaves(settings, whole=(), path=()):
    """Yield (path, text of the value) of each setting."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from leaves(value, whole, (*path, key))
        else:
            yield (*path, key), json.dumps(value, ensure_ascii=False)


def leaves_of(text, whole=()):
    """Yield the same from a file's text."""
    for pair in _pairs(text):
        yield pair.path, text[pair.value_start : pair.value_end]


def get(text, path):
    """Return the text of the value at the path; None where there is none."""
    for statement in _pairs(text):
        if statement.path == tuple(path):
            return text[statement.value_start : statement.value_end]
    return None


def put(text, path, value):
    """Return the text with the value at the path."""
    path = tuple(path)
    statements = _statements(text)
    _refuse_conflicts(statements, path)
    for statement in statements:
        if statement.path == path and not statement.is_header:
            return text[: statement.value_start] + value + text[statement.value_end :]
    place = _place(statements, path)
    if place is None:
        header = ".".join(map(_key, path[:-1]))
        gap = "\n" if text.strip() else ""
        return f"{_ended(text)}{gap}[{header}]\n{_key(path[-1])} = {value}\n"
    position, shown = place
    line = f"{'.'.join(map(_key, shown))} = {value}\n"
    before = _ended(text[:position]) if position else ""
    return before + line + text[position:]


def drop(text, path):
    """Return the text without the pair at the path; nor its header, when nothing is left of it."""
    path = tuple(path)
    for statement in _pairs(text):
        if statement.path == path:
            text = text[: statement.start] + text[statement.end :]
            return _without_empty_header(text, statement.section)
    return text


def is_blank(text):
    """Tell whether nothing is set."""
    return not text.strip()


def check(text):
    """Raise Broken when the text is no TOML."""
    _statements(text)  # names the line
    if tomllib:
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise Broken(str(error)) from error


def _refuse_conflicts(statements, path):
    for statement in statements:
        found = statement.path
        if statement.is_array and path[: len(found)] == found:
            raise Conflict(f"[[{'.'.join(found)}]] is a list of tables")
        is_value = not statement.is_header
        if is_value and len(found) < len(path) and path[: len(found)] == found:
            raise Conflict(f"{'.'.join(found)} is written on one line; write it as a table")
        if len(found) > len(path) and found[: len(path)] == path:
            raise Conflict(f"{'.'.join(path)} is a table")
        if statement.is_header and found == path:
            raise Conflict(f"{'.'.join(path)} is a table")


def _place(statements, path):
    """Return where a new pair goes and how its key is written there; None for a new section."""
    section = path[:-1]
    if not section:
        root = [s for s in statements if not s.is_header and s.section == ()]
        return (root[-1].end if root else 0), path
    headers = [s for s in statements if s.is_header and s.path == section]
    if headers:
        inside = [s for s in statements if not s.is_header and s.section == section]
        return (inside or headers)[-1].end, path[-1:]
    # A table made of dotted keys cannot be opened by a header again.
    for statement in reversed(statements):
        dotted = statement.path[:-1]
        is_dotted = not statement.is_header and len(dotted) > len(statement.section)
        if is_dotted and dotted[: len(section)] == section:
            return statement.end, path[len(statement.section) :]
    return None


def _without_empty_header(text, section):
    statements = _statements(text)
    if any(s.section == section and not s.is_header for s in statements):
        return text
    for statement in statements:
        if statement.is_header and statement.path == section and not statement.is_array:
            before = text[: statement.start]
            return (before[:-1] if before.endswith("\n\n") else before) + text[statement.end :]
    return text


def _key(part):
    return part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False)


def _ended(text):
    return text if not text or text.endswith("\n") else text + "\n"


# --- the scanner ----------------------------------------------------------------------------------


def _pairs(text):
    return [statement for statement in _statements(text) if not statement.is_header]


def _statements(text):
    found, section, position = [], (), 0
    while position < len(text):
        position = _blank(text, position)
        if position >= len(text):
            break
        statement = _header(text, position) or _pair(text, position, section)
        if statement.is_header:
            section = statement.path
        found.append(statement)
        position = statement.end
    return found


def _blank(text, position):
    """Skip empty lines and comments."""
    return (
        re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n|[ \t\r]*(?:#[^\n]*)?\Z)*")
        .match(text, position)
        .end()
    )


def _header(text, position):
    opening = re.compile(r"[ \t]*(\[\[?)[ \t]*").match(text, position)
    if not opening:
        return None
    path, after = _path(text, opening.end())
    closing = "]" * len(opening.group(1))
    if not text.startswith(closing, after):
        raise _broken(text, position, f"{closing} is missing")
    statement = Statement(position, path, path)
    statement.is_header, statement.is_array = True, closing == "]]"
    statement.end = _line_end(text, after + len(closing))
    return statement


def _pair(text, position, section):
    start = re.compile(r"[ \t]*").match(text, position).end()
    path, after = _path(text, start)
    if text[after : after + 1] != "=":
        raise _broken(text, position, "= is missing")
    statement = Statement(position, section + path, section)
    statement.value_start = re.compile(r"[ \t]*").match(text, after + 1).end()
    statement.value_end = _value_end(text, statement.value_start)
    if statement.value_end == statement.value_start:
        raise _broken(text, position, "a value is missing")
    statement.end = _line_end(text, statement.value_end)
    return statement


def _path(text, position):
    parts = []
    while True:
        bare = _BARE.match(text, position)
        quoted = None if bare else _STRINGS.match(text, position)
        if not bare and not quoted:
            raise _broken(text, position, "a name is missing")
        part = (bare or quoted).group()
        parts.append(part if bare else _unquoted(part))
        position = re.compile(r"[ \t]*").match(text, (bare or quoted).end()).end()
        if text[position : position + 1] != ".":
            return tuple(parts), position
        position = re.compile(r"[ \t]*").match(text, position + 1).end()


def _unquoted(part):
    return json.loads(part) if part.startswith('"') else part[1:-1]


def _value_end(text, position):
    depth, end = 0, position
    while position < len(text):
        character = text[position]
        string = _STRINGS.match(text, position) if character in "\"'" else None
        if character in "\"'" and not string:
            raise _broken(text, position, "a text is not closed")
        if character == "\n" and depth == 0:
            return end
        if character == "#":
            position = text.find("\n", position)
            if position < 0 or depth == 0:
                return end
            continue
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(character, 0)
        position = string.end() if string else position + 1
        if not character.isspace():
            end = position
    if depth:
        raise _broken(text, end, "a bracket is not closed")
    return end


def _line_end(text, position):
    rest = re.compile(r"[ \t\r]*(?:#[^\n]*)?(\n|\Z)").match(text, position)
    if not rest:
        raise _broken(text, position, "something follows the end of a statement")
    return rest.end()


def _broken(text, position, what):
    return Broken(f"line {text.count(chr(10), 0, position) + 1}: {what}")
