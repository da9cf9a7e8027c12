"""Output schemas that every client's validator compiles.

The TypeScript SDK compiles the schemas of all tools, with one validator, while it lists them: one
that does not compile costs the list, and two with the same `$id` take each other's place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from mcp_gateway.schemas import map_of, walk

# What a regular expression may consist of so that every dialect reads it in the same way.
_QUANTIFIER = r"(?:(?:[*+?]|\{\d{1,4}(?:,\d{0,4})?\})\??)?"
_CLASS = r"\[\^?(?:[A-Za-z0-9]-[A-Za-z0-9]|[\w ./:@,;=!<>#%&'\"~`+*?(){}|$]|\\[dws.\\/\]\[^-])+-?\]"
_ATOM = rf"(?:[\w ./:@,;=!<>#%&'\"~`-]|\\[dDwWsS./\\^$*+?()\[\]{{}}|]|{_CLASS})"
_PORTABLE = re.compile(rf"(?:{_ATOM}{_QUANTIFIER}|\((?:\?:)?|\){_QUANTIFIER}|[|^$])*\Z")
# Keywords that make a schema depend on others that the same client compiled, or on a dialect.
_NOT_SELF_CONTAINED = {
    "$anchor",
    "$async",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
    "id",
}


def depends(schema: dict[str, object]) -> str | None:
    """Why a schema cannot be compiled on its own; None when it can."""
    parts = list(walk(schema))
    for part in parts:
        found = _NOT_SELF_CONTAINED & part.keys()
        if found:
            return f"its outputSchema uses {', '.join(sorted(found))}"
    refs = {id(part): _target(schema, part["$ref"]) for part in parts if "$ref" in part}
    known = {id(part) for part in parts}
    for part in parts:
        if "$ref" in part and not _ends(id(part), refs, known):
            return f"its outputSchema refers to {str(part['$ref'])[:80]}, which is no schema in it"
    return None


def repair(schema: dict[str, object]) -> Iterator[str]:
    """Drop what only some validators compile; yields what that was."""
    for part in walk(schema):
        patterns = map_of(part, "patternProperties")
        for pattern in [p for p in patterns if not _is_portable(p)]:
            del patterns[pattern]
            yield f"not every client reads the pattern {pattern[:80]!r}"
        if "pattern" in part and not _is_portable(part["pattern"]):
            yield f"not every client reads the pattern {str(part.pop('pattern'))[:80]!r}"
        if "nullable" in part and not ("type" in part and isinstance(part["nullable"], bool)):
            del part["nullable"]
            yield "nullable needs a type beside it"


def _is_portable(pattern: object) -> bool:
    """Whether every dialect of regular expressions reads the pattern, and in the same way."""
    if not isinstance(pattern, str) or not _PORTABLE.match(pattern):
        return False
    try:
        re.compile(pattern)
    except (re.error, OverflowError):
        return False
    return True


def _target(root: dict[str, object], ref: object) -> object:
    """What a JSON Pointer into the same document points to; None when it is none."""
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
        return None
    found: object = root
    for step in unquote(ref[1:]).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, dict):
            found = found.get(step)
        else:
            return None
    return found


def _ends(start: int, refs: dict[int, object], known: set[int]) -> bool:
    """Whether a chain of references ends at a schema of the document."""
    seen = {start}
    target = refs[start]
    while isinstance(target, dict):
        if id(target) in seen or id(target) not in known:
            return False
        if id(target) not in refs:
            return True
        seen.add(id(target))
        target = refs[id(target)]
    return isinstance(target, bool)
