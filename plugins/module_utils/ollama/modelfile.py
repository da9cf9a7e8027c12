# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a model made on this platform consists of, and whether an existing model is that.

Pure: no requests, no files.

Ollama keeps no trace of a create request, and it fills in what the request leaves out (a template
it recognises, stop words), so the two cannot be compared field by field. It does keep the name
under which the weights were sent and reports it as `parent_model`. That name therefore carries a
fingerprint of the whole definition.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused

LABEL_PREFIX = "intranet.mcp"

_TEXTS = ("template", "system", "license", "renderer", "parser", "requires")
_FIELDS = (*_TEXTS, "parameters", "messages")
_BLOB = re.compile(r"^FROM .*sha256[-:]([0-9a-f]{64})\s*$", re.MULTILINE)
_INSTRUCTION = re.compile(r"^\s*([A-Za-z]+)[ \t]+(.*)$", re.DOTALL)


class Definition:
    """Weights (a GGUF file or an existing model) and everything put on top of them."""

    def __init__(
        self,
        path: str | None = None,
        base: str | None = None,
        pooling_type: str | None = None,
        context: int | None = None,
        **fields: Any,
    ) -> None:
        self.path = path
        self.base = base
        self.pooling_type = pooling_type
        self.context = context
        self.fields = {name: fields[name] for name in _FIELDS if fields.get(name)}

    def __repr__(self) -> str:
        return f"Definition({self.path or self.base}, {', '.join(self.fields)})"

    @property
    def is_rewritten(self) -> bool:
        """True when Ollama may get other bytes than the file holds."""
        return self.pooling_type is not None or self.context is not None

    def label(self, digest: str) -> str:
        """Return the name under which the weights are sent to Ollama."""
        content = json.dumps([digest, self.fields], sort_keys=True, separators=(",", ":"))
        fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
        file_name = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(self.path or "model.gguf"))
        return f"{LABEL_PREFIX}/{fingerprint}/{file_name}"

    def request(self, name: str, digest: str | None) -> dict[str, Any]:
        """Return the body of `/api/create`."""
        weights = {"from": self.base} if self.base else {"files": {self.label(digest): digest}}
        return {"model": name, **weights, **self.fields}

    def expected(self, digest: str | None, base: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what `describe` must say of the model, as far as this definition fixes it."""
        if self.base is None:
            return {"weights": digest, "label": self.label(digest), **_declared(self.fields)}
        inherited = describe(base or {})
        wanted = {field: inherited[field] for field in ("weights", "template", "system")}
        parameters = {**inherited["parameters"], **self.fields.get("parameters", {})}
        wanted.update(_declared({**self.fields, "parameters": parameters}))
        return wanted


def _declared(fields: dict[str, Any]) -> dict[str, Any]:
    known = {name: fields[name] for name in ("template", "system") if name in fields}
    if "parameters" in fields:
        known["parameters"] = {name: _plain(v) for name, v in fields["parameters"].items()}
    return known


def describe(show: dict[str, Any]) -> dict[str, Any]:
    """Return the comparable parts of an `/api/show` reply."""
    blob = _BLOB.search(show.get("modelfile") or "")
    return {
        "weights": f"sha256:{blob.group(1)}" if blob else "",
        "label": (show.get("details") or {}).get("parent_model") or "",
        "template": show.get("template") or "",
        "system": show.get("system") or "",
        "parameters": read_parameters(show.get("parameters") or ""),
    }


def is_made_here(show: dict[str, Any]) -> bool:
    """True when the model came from a file that this collection sent."""
    return describe(show)["label"].startswith(LABEL_PREFIX + "/")


def read_parameters(text: str) -> dict[str, Any]:
    """Read the `parameters` of `/api/show`: a name and a value a line, names may repeat."""
    found: dict[str, list[Any]] = {}
    for line in text.splitlines():
        name, _blank, value = line.strip().partition(" ")
        if name:
            found.setdefault(name, []).append(_literal(value.strip()))
    return {
        name: _plain(values if len(values) > 1 else values[0]) for name, values in found.items()
    }


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _plain(value: Any) -> Any:
    """Bring values to one form: 1 and 1.0 are equal in JSON, a list of one is its element."""
    if isinstance(value, (list, tuple)):
        values = [_plain(item) for item in value]
        return values[0] if len(values) == 1 else values
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def parse_modelfile(content: str) -> Definition:
    """Read a Modelfile.

    Only what changes an instruction's meaning is read here; Ollama checks the rest itself.
    """
    fields: dict[str, Any] = {"parameters": {}, "messages": []}
    source = None
    for instruction, value in _instructions(content):
        if instruction == "FROM":
            source = value
        elif instruction == "PARAMETER":
            _add_parameter(fields["parameters"], value)
        elif instruction == "MESSAGE":
            role, _blank, text = value.partition(" ")
            fields["messages"].append({"role": role, "content": _unquoted(text)})
        elif instruction.lower() in _TEXTS:
            fields[instruction.lower()] = value
        else:
            raise Refused(
                f"the Modelfile holds the instruction {instruction}",
                "FROM, TEMPLATE, SYSTEM, PARAMETER, MESSAGE, LICENSE, RENDERER, PARSER or REQUIRES",
                "correct or remove that line",
            )
    if not source:
        raise Refused(
            "the Modelfile has no FROM line",
            "FROM with the path of a GGUF file or the name of a model",
            "add one",
        )
    is_path = source.startswith(("/", "./", "../", "~")) or source.endswith(".gguf")
    return Definition(path=source, **fields) if is_path else Definition(base=source, **fields)


def _instructions(content: str):
    """Yield (INSTRUCTION, value); a value in triple quotes may span lines."""
    lines = iter(content.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _INSTRUCTION.match(line)
        if match is None:
            raise Refused(
                f"the Modelfile holds the line {line.strip()[:80]!r}",
                "an instruction and its value",
                'put text of several lines in """triple quotes"""',
            )
        instruction, value = match.group(1).upper(), match.group(2)
        opening, quotes, rest = value.partition('"""')
        while quotes and '"""' not in rest:
            try:
                rest += "\n" + next(lines)
            except StopIteration:
                raise Refused(
                    f'the text after {instruction} opens with """ and never ends',
                    'a closing """',
                    "add it",
                ) from None
        yield (
            instruction,
            opening + rest.partition('"""')[0] if quotes else _unquoted(value.strip()),
        )


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _add_parameter(parameters: dict[str, Any], value: str) -> None:
    name, _blank, text = value.partition(" ")
    text = _unquoted(text.strip())
    if name == "stop":  # the one parameter that is a list
        parameters.setdefault(name, []).append(text)
        return
    parsed = _literal(text)
    parameters[name] = parsed if isinstance(parsed, (int, float)) else text
