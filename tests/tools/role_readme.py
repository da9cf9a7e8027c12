#!/usr/bin/env python3
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write every role's README.md from its argument specs (`make docs`).

`role_readme.py --check` writes nothing and names the files that differ.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
MARKUP = re.compile(r"\b([BCIMOUV])\(([^)]*)\)")


def prose(description: str | list[str]) -> str:
    """Join paragraphs and turn Ansible's markup into Markdown."""
    paragraphs = [description] if isinstance(description, str) else description
    text = " ".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return MARKUP.sub(lambda m: m[2] if m[1] in "BIU" else f"`{m[2]}`", text)


def literal(value: object) -> str:
    """Show a default as it would be written in YAML on one line."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{text}`"


def type_of(option: dict) -> str:
    """Name an option's type, as in `list of str`."""
    kind = option.get("type", "str")
    return f"{kind} of {option['elements']}" if "elements" in option else kind


def rows(options: dict, prefix: str = "") -> list[str]:
    """Return the table rows of options, those of nested options below their own."""
    lines = []
    for name, option in options.items():
        description = prose(option.get("description", ""))
        if "choices" in option:
            description += " One of " + ", ".join(literal(c) for c in option["choices"]) + "."
        if option.get("required"):
            default = "required"
        else:
            default = literal(option["default"]) if "default" in option else ""
        cells = [f"`{prefix}{name}`", type_of(option), default, description]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        suffix = "[]." if option.get("type") == "list" else "."
        lines += rows(option.get("options", {}), f"{prefix}{name}{suffix}")
    return lines


def table(options: dict) -> list[str]:
    """Return the option table of one entry point."""
    if not options:
        return []
    head = ["| Variable | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
    return ["", *head, *rows(options)]


def is_part(some: dict, options: dict) -> bool:
    """Tell whether all of some options are among these."""
    return bool(some) and all(options.get(name) == option for name, option in some.items())


def render(role: Path) -> str:
    """Return the README of one role."""
    meta = yaml.safe_load((role / "meta" / "main.yml").read_text())
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    lines = [
        "<!-- Written by `make docs` from meta/argument_specs.yml; change it there. -->",
        f"# intranet.mcp.{role.name}",
        "",
        prose(meta["galaxy_info"]["description"]).rstrip(".") + ".",
    ]
    shown: dict[str, dict] = {}
    for entry, spec in specs.items():
        lines += ["", f"## {entry}", "", prose(spec["short_description"]) + "."]
        if "description" in spec:
            lines += ["", prose(spec["description"])]
        options = spec.get("options") or {}
        base = next((name for name, other in shown.items() if is_part(other, options)), None)
        if base:
            options_left = {k: v for k, v in options.items() if k not in shown[base]}
            more = ", and:" if options_left else "."
            lines += ["", f"Variables: those of `{base}`{more}", *table(options_left)]
        else:
            lines += table(options)
        shown[entry] = options
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the files, or name those that differ."""
    stale = []
    for specs in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        readme = specs.parents[1] / "README.md"
        text = render(specs.parents[1])
        if readme.is_file() and readme.read_text() == text:
            continue
        stale.append(readme)
        if "--check" not in sys.argv:
            readme.write_text(text)
    for readme in stale:
        print(readme.relative_to(ROLES.parent))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
