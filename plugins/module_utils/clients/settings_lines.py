# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Edits files of lines in place: `NAME=value` files, and lines of a shell's start file. Pure."""

from __future__ import annotations

import re


class Env:
    """`NAME=value`, one a line, as the CLIs read their `.env`."""

    NAME = "NAME=value lines"

    @staticmethod
    def leaves(settings, whole=()):
        """Yield (path, value) of each variable."""
        for name, value in settings.items():
            yield (name,), str(value)

    @staticmethod
    def leaves_of(text, whole=()):
        """Yield the same from a file's text."""
        for line in text.splitlines():
            name, _equals, value = line.partition("=")
            yield (name,), value

    @staticmethod
    def get(text, path):
        """Return the variable's value; None where there is none."""
        found = _assignment(path[0]).findall(text)
        return found[-1].strip() if found else None

    @staticmethod
    def put(text, path, value):
        """Return the text with the variable set; the last assignment is the one that counts."""
        found = list(_assignment(path[0]).finditer(text))
        if found:
            return text[: found[-1].start(1)] + value + text[found[-1].end(1) :]
        return f"{_ended(text)}{path[0]}={value}\n"

    @staticmethod
    def drop(text, path):
        """Return the text without the variable."""
        return re.compile(_assignment(path[0]).pattern + r"\n?", re.MULTILINE).sub("", text)

    @staticmethod
    def is_blank(text):
        """Tell whether nothing is set."""
        return not text.strip()

    @staticmethod
    def check(text):
        """Accept everything: whoever reads the file skips what is no assignment."""


class Line:
    """Whole lines, each there or not."""

    NAME = "lines"

    @staticmethod
    def leaves(settings, whole=()):
        """Yield (path, true) of each line."""
        for line in settings:
            yield (line,), True

    @staticmethod
    def leaves_of(text, whole=()):
        """Yield the same from a file's text."""
        return Line.leaves(text.splitlines())

    @staticmethod
    def get(text, path):
        """Return true when the line is there, else None."""
        return path[0] in text.splitlines() or None

    @staticmethod
    def put(text, path, value):
        """Return the text with the line at its end."""
        return f"{_ended(text)}{path[0]}\n"

    @staticmethod
    def drop(text, path):
        """Return the text without the line."""
        return "".join(x for x in text.splitlines(True) if x.rstrip("\r\n") != path[0])

    is_blank = Env.is_blank
    check = Env.check


def _assignment(name):
    return re.compile(rf"^[ \t]*(?:export[ \t]+)?{re.escape(name)}[ \t]*=(.*)$", re.MULTILINE)


def _ended(text):
    return text if not text or text.endswith("\n") else text + "\n"
