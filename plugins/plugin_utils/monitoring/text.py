# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Configurations as YAML. Pure."""

from __future__ import annotations

import json

import yaml


def as_yaml(made: dict) -> str:
    """Dump in the order of the keys. What comes of a play is of types that YAML does not know."""
    return yaml.safe_dump(json.loads(json.dumps(made)), sort_keys=False, width=1000)
