# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every module and plugin documents itself; RETURN names when each value is there and shows one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def public(kind):
    return sorted(p for p in (ROOT / "plugins" / kind).glob("*.py") if p.stem != "__init__")


def block(path, name):
    """Return a documentation block of a plugin, parsed, or None."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
            return yaml.safe_load(node.value.value)
    return None


def untold(values, prefix=""):
    """Yield keys of RETURN that lack a part; nested keys are shown by the sample around them."""
    for key, value in values.items():
        parts = ["description", "type"] if prefix else ["description", "type", "returned"]
        parts += [] if prefix or "contains" in value else ["sample"]
        yield from (f"{prefix}{key}: {part}" for part in parts if part not in value)
        yield from untold(value.get("contains", {}), f"{prefix}{key}.")


each_module = pytest.mark.parametrize("module", public("modules"), ids=lambda p: p.stem)
each_plugin = pytest.mark.parametrize(
    "plugin", public("modules") + public("lookup"), ids=lambda p: f"{p.parent.name}/{p.stem}"
)


@each_plugin
def test_plugin_has_every_block(plugin):
    missing = [name for name in ("DOCUMENTATION", "EXAMPLES", "RETURN") if not block(plugin, name)]
    assert not missing


@each_module
def test_every_returned_value_is_described(module):
    assert not list(untold(block(module, "RETURN") or {}))


@each_module
def test_module_states_what_check_mode_and_diff_do(module):
    documentation = block(module, "DOCUMENTATION")
    own = set(documentation.get("attributes", {}))
    fragments = documentation.get("extends_documentation_fragment", [])
    from_fragments = "attributes" in str(fragments)
    assert own >= {"check_mode", "diff_mode"} or from_fragments


@each_module
def test_module_has_tests_that_run_it(module):
    """By the name of its file, its tests name the module and there is at least one."""
    places = (ROOT / "tests" / "unit/plugins/modules", ROOT / "tests" / "integration/pytest")
    texts = [path.read_text() for place in places for path in place.glob(f"test_{module.stem}.py")]
    assert any("def test_" in text and runs(text, module.stem) for text in texts)


def runs(text, name):
    """Tell whether a test file imports the module, or has Ansible or a harness run it."""
    return bool(
        re.search(rf"plugins\.(modules|action) import .*\b{name}\b", text)
        or re.search(rf"plugins\.(modules|action)\.{name}\b", text)
        or re.search(rf"intranet\.mcp\.{name}\b|[\"']{name}[\"']", text)
    )
