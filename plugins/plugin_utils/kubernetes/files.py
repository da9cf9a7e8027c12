# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Objects as files for whoever applies them from a repository: a file a service. Pure."""

from __future__ import annotations

import json
import re

import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.kinds import place_of
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import NAME, SHARED

HEAD = "# Rendered by intranet.mcp (playbooks/render.yml); changes here are overwritten.\n"
SECRETS = "-secrets"


# What some readers of YAML take for a number or a yes, and others for the text that it is.
_AMBIGUOUS = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|0o?[0-7]+|[yYnN]")


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as they are, lists indented below their key."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data):
        return True


def _text(dumper, value):
    style = "'" if _AMBIGUOUS.fullmatch(value) else None
    style = "|" if "\n" in value else style
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def files(objects: list[dict], needed: list[dict], directory: str) -> dict[str, list[dict]]:
    """Files and secrets as the module `files` takes them, each in a stable order.

    needed: Secrets that the site makes itself, which a service's file names at its beginning.
    """
    texts: dict[str, list[dict]] = {}
    for found in sorted(objects, key=place_of):
        name = found["metadata"].get("labels", {}).get(NAME, SHARED)
        suffix = SECRETS if found["kind"] == "Secret" else ""
        texts.setdefault(name + suffix, []).append(found)
    result: dict[str, list[dict]] = {"files": [], "secrets": []}
    for name, group in sorted(texts.items()):
        is_secret = name.endswith(SECRETS)
        content = HEAD + _needs(name, needed) + "".join(map(text, group))
        entry = {"path": f"{directory}/{name}.yml", "content": content}
        result["secrets" if is_secret else "files"].append(
            {**entry, "mode": "0600" if is_secret else "0644"}
        )
    return result


def text(found: dict) -> str:
    """One object as a document."""
    # Out of Ansible's own kinds of texts and mappings, which YAML's dumper does not know.
    plain = json.loads(json.dumps(found))
    dumped = yaml.dump(plain, Dumper=_Dumper, sort_keys=False, width=10**6, allow_unicode=True)
    return f"---\n{dumped}"


def secret_keys(objects: list[dict]) -> list[dict]:
    """Name and keys of each Secret among objects."""
    secrets = [found for found in objects if found["kind"] == "Secret"]
    return [{"name": one["metadata"]["name"], "keys": sorted(one["data"])} for one in secrets]


def described(needed: list[dict]) -> list[str]:
    """Each Secret that the site makes itself, as a line."""
    return [f"Secret {one['name']} with {', '.join(one['keys'])}" for one in needed]


def _needs(name: str, needed: list[dict]) -> str:
    own = [one for one in needed if one["service"].replace("_", "-") == name]
    return "".join(f"# Needs {line}\n" for line in described(own))
