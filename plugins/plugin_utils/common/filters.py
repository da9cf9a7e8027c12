# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Filters from pure functions: input that they cannot use fails with one sentence."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    ServiceError,
    Unusable,
)

# What annotations begin with, what that is called, and whether a value is one. Ansible's own types
# of text, lists and mappings are subclasses; ranges and views of mappings are lists to a filter.
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "dict": ("a mapping", lambda value: isinstance(value, Mapping)),
    "list": ("a list", lambda value: isinstance(value, Iterable) and not _is_scalar(value)),
    "str": ("a text", lambda value: isinstance(value, str)),
    "int": ("a number", lambda value: isinstance(value, int | float)),
    "float": ("a number", lambda value: isinstance(value, int | float)),
    "bool": ("a truth value", lambda value: isinstance(value, bool | int | float)),
}
# What a text stands for there: `-e` gives texts alone, which validation of a role's options takes.
_READ: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "bool": boolean}
# What Python raises for a value of another type or content. An undefined variable is none of them:
# its error stays as it is, so that Ansible names the variable.
_ERRORS = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
# Those whose texts name types and keys. That of a ValueError may hold the value, a secret even.
_TELLING = (AttributeError, KeyError, OSError, TypeError)


def guarded(functions: dict[str, Callable]) -> dict[str, Callable]:
    """Return the functions as filters, by name."""
    return {name: _guarded(name, function) for name, function in functions.items()}


def _guarded(name: str, function: Callable) -> Callable:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            bound = signature.bind(*args, **kwargs)
            bound.arguments |= _read(signature, bound.arguments)
            if problem := _wrong_kind(signature, bound.arguments, _is_scalar):
                raise AnsibleFilterError(f"{name}: {problem}")
            return function(*bound.args, **bound.kwargs)
        except (ServiceError, Unusable) as error:
            raise AnsibleFilterError(str(error)) from error
        except _ERRORS as error:
            given = dict(zip(signature.parameters, args, strict=False)) | kwargs
            problem = _wrong_kind(signature, given) or _unusable(signature, error)
            # Ansible shows a cause with its text.
            cause = error if isinstance(error, _TELLING) else None
            raise AnsibleFilterError(f"{name}: {problem}") from cause

    return call


def _read(signature: inspect.Signature, given: dict) -> dict[str, Any]:
    """Return the arguments that are texts of numbers and truth values, as such."""
    found = {}
    for name, value in given.items():
        read = _READ.get(_annotation(signature.parameters[name]))
        if read and isinstance(value, str):
            with contextlib.suppress(TypeError, ValueError):  # refused with what was expected
                found[name] = read(value)
    return found


def _wrong_kind(
    signature: inspect.Signature, given: dict, suspects: Callable[[Any], bool] = lambda _value: True
) -> str:
    """Return which argument is of another type than its annotation, if one is.

    suspects: which values are compared. Before a call those are scalars, as a text would be taken
    for a list of its letters; functions may take None, so it counts only after they failed.
    """
    for name, value in given.items():
        parameter = signature.parameters.get(name)
        kind, is_one = _KINDS.get(_annotation(parameter), ("", None))
        if is_one and suspects(value) and not is_one(value):
            return (
                f"found {name} of type {_type_name(value)}; expected {kind}: correct the variable"
            )
    return ""


def _unusable(signature: inspect.Signature, error: Exception) -> str:
    text = f" ({error})" if isinstance(error, _TELLING) else ""
    names = ", ".join(
        " ".join(filter(None, [name, _KINDS.get(_annotation(parameter), ("",))[0]]))
        for name, parameter in signature.parameters.items()
    )
    return (
        f"found input that it cannot use, {type(error).__name__}{text}; expected {names}, "
        "as its role passes them: correct the variable"
    )


def _annotation(parameter: inspect.Parameter | None) -> str:
    """Return the outer type's name; none where several are possible."""
    text = str(parameter.annotation) if parameter else ""
    return (
        "" if "|" in text.partition("[")[0] or text.endswith("| None") else text.partition("[")[0]
    )


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bytes | bool | int | float)


def _type_name(value: Any) -> str:
    """Return the plain type's name: Ansible's types of text, lists and mappings have long ones."""
    plain = (
        kind.__name__ for kind in (str, bool, int, float, dict, list) if isinstance(value, kind)
    )
    return next(plain, type(value).__name__)
