# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Edits JSON settings in place: what is not ours keeps its layout and its comments. Pure.

Most CLIs accept comments and trailing commas in their settings, so this reads them too; Claude Code
does not, and ignores a whole file that has one (`Strict`). It runs on developers' machines as well,
with any Python of 3.8 or later and nothing else.
"""

from __future__ import annotations

import json
import re

NAME = "JSON"
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_LITERALS = {"true": True, "false": False, "null": None}


class Broken(ValueError):
    """The text is not what its file name promises; the message names the line."""


class Conflict(ValueError):
    """The text is fine, but something else stands where a setting must go."""


class Node:
    """A value and where it stands. Of an object also its members and a trailing comma."""

    def __init__(self, start):
        self.start, self.end = start, start
        self.value = None
        self.members = []  # (key, where the key starts, Node)
        self.trailing_comma = False

    def member(self, key):
        """Return the position and the node of a member, or None."""
        for index, (name, _start, node) in enumerate(self.members):
            if name == key:
                return index, node
        return None


# --- the edits ------------------------------------------------------------------------------------


def leaves(settings, whole=(), path=()):
    """Yield (path, value) of each setting; the objects at `whole` paths are one value each."""
    for key, value in settings.items():
        here = (*path, key)
        if isinstance(value, dict) and value and here not in whole:
            yield from leaves(value, whole, here)
        else:
            yield here, value


def leaves_of(text, whole=()):
    """Yield the same from a file's text."""
    return leaves(_parse(text).value, whole)


def get(text, path):
    """Return the value at the path; None where there is none."""
    value = _parse(text).value
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def put(text, path, value):
    """Return the text with the value at the path."""
    text = text if text.strip() else "{}\n"
    node = _parse(text)
    for depth, key in enumerate(path):
        _need_object(node, path[:depth])
        found = node.member(key)
        if not found:
            for outer in reversed(path[depth + 1 :]):
                value = {outer: value}
            return _insert(text, node, key, value)
        node = found[1]
    return text[: node.start] + _dump(value, _indent(text, node.start)) + text[node.end :]


def drop(text, path):
    """Return the text without the member at the path."""
    node = _parse(text)
    for key in path[:-1]:
        found = node.member(key)
        if not found:
            return text
        node = found[1]
    found = node.member(path[-1])
    return _cut(text, node, found[0]) if found else text


def is_blank(text):
    """Tell whether nothing is set."""
    return not text.strip() or _parse(text).value == {}


def check(text):
    """Raise Broken when the text is no JSON object."""
    node = _parse(text)
    if not isinstance(node.value, dict):
        raise Broken(f"it holds a {type(node.value).__name__}, not an object")


class Strict:
    """The same for a reader that knows JSON and nothing more."""

    NAME = "JSON without comments and trailing commas"
    leaves, leaves_of, get, put = map(staticmethod, (leaves, leaves_of, get, put))
    drop, is_blank = map(staticmethod, (drop, is_blank))

    @staticmethod
    def check(text):
        """Raise Broken when the text is no JSON object to the letter."""
        check(text)
        try:
            json.loads(text.strip() or "{}")
        except ValueError as error:
            raise Broken(str(error)) from error


def _need_object(node, path):
    if not isinstance(node.value, dict):
        raise Conflict(f"{'.'.join(path) or 'the file'} is not an object")


def _insert(text, node, key, value):
    """Put a member at the end of an object, laid out as its neighbours are."""
    label = json.dumps(key, ensure_ascii=False) + ": "
    close = node.end - 1
    if not node.members:
        outer = _indent(text, node.start)
        inner = outer + _unit(text)
        # What stands in an empty object, a comment perhaps, stays where it is.
        kept = text[node.start + 1 : close].rstrip()
        body = f"{kept}\n{inner}{label}{_dump(value, inner)}\n{outer}"
        return text[: node.start + 1] + body + text[close:]
    last = node.members[-1][2]
    comma = "" if node.trailing_comma else ","
    first_key = node.members[0][1]
    if "\n" not in text[node.start : first_key]:
        flat = json.dumps(value, ensure_ascii=False)
        return f"{text[: last.end]}{comma} {label}{flat}{text[last.end :]}"
    indent = _indent(text, first_key)
    tail = text[last.end : close]
    kept = tail.rstrip()
    body = f"{comma}{kept}\n{indent}{label}{_dump(value, indent)}{tail[len(kept) :]}"
    return text[: last.end] + body + text[close:]


def _cut(text, node, index):
    start, end = node.members[index][1], node.members[index][2].end
    if index > 0:
        return text[: node.members[index - 1][2].end] + text[end:]
    if len(node.members) > 1:
        return text[:start] + text[node.members[1][1] :]
    rest = text[node.start + 1 : start] + text[end : node.end - 1].lstrip().lstrip(",")
    return text[: node.start + 1] + (rest.rstrip() if rest.strip() else "") + text[node.end - 1 :]


def _dump(value, indent):
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n" + indent)


def _indent(text, position):
    """Return the white space that the position's line begins with."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip())]


def _unit(text):
    found = re.search(r"\{\s*\n([ \t]+)\S", text)
    return found.group(1) if found else "  "


# --- the parser -----------------------------------------------------------------------------------


def _parse(text):
    if not text.strip():
        node = Node(0)
        node.value = {}
        return node
    position = _skip(text, 0)
    node = _value(text, position)
    rest = _skip(text, node.end)
    if rest != len(text):
        raise _broken(text, rest, "something follows the end")
    return node


def _skip(text, position):
    return _SPACE.match(text, position).end()


def _value(text, position):
    node = Node(position)
    head = text[position : position + 1]
    if head == "{":
        return _object(text, node)
    if head == "[":
        return _array(text, node)
    if head == '"':
        node.value, node.end = _string(text, position)
        return node
    for literal, value in _LITERALS.items():
        if text.startswith(literal, position):
            node.value, node.end = value, position + len(literal)
            return node
    number = _NUMBER.match(text, position)
    if not number:
        raise _broken(text, position, "a value is missing")
    node.value, node.end = json.loads(number.group()), number.end()
    return node


def _object(text, node):
    node.value = {}
    position = _skip(text, node.start + 1)
    while text[position : position + 1] != "}":
        if text[position : position + 1] != '"':
            raise _broken(text, position, "a name in quotes is missing")
        start = position
        key, position = _string(text, position)
        position = _skip(text, position)
        if text[position : position + 1] != ":":
            raise _broken(text, position, "a colon is missing")
        member = _value(text, _skip(text, position + 1))
        node.members.append((key, start, member))
        node.value[key] = member.value
        position, node.trailing_comma = _after_item(text, member.end, "}")
    node.end = position + 1
    return node


def _array(text, node):
    node.value = []
    position = _skip(text, node.start + 1)
    while text[position : position + 1] != "]":
        item = _value(text, position)
        node.value.append(item.value)
        position, _comma = _after_item(text, item.end, "]")
    node.end = position + 1
    return node


def _after_item(text, position, closing):
    """Return where the next item or the end is, and whether a comma came first."""
    position = _skip(text, position)
    if text[position : position + 1] == ",":
        return _skip(text, position + 1), True
    if text[position : position + 1] != closing:
        raise _broken(text, position, f"a comma or {closing} is missing")
    return position, False


def _string(text, position):
    try:
        return json.decoder.scanstring(text, position + 1, True)
    except ValueError as error:
        raise _broken(text, position, "a text is not closed or has a wrong escape") from error


def _broken(text, position, what):
    return Broken(f"line {text.count(chr(10), 0, position) + 1}: {what}")
