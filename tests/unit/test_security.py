# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""SECURITY.md claims nothing that no test tries."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w./-]+\.py)::(\w+)`", TEXT)))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _path, name in NAMED])
def test_each_test_that_security_names_is_there(path, name):
    tree = ast.parse((ROOT / path).read_text())
    functions = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert name in [function.name for function in functions], f"{path} has no {name}"


def test_each_attack_names_a_test():
    section = TEXT.partition("## What stops them")[2].partition("## What is not protected")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    attacks = [row for row in rows if not row.startswith("| Attack")]
    assert len(attacks) > 10
    assert [row for row in attacks if "::test_" not in row.rpartition(" | ")[2]] == []


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_both_readmes_point_to_it(readme):
    assert "](SECURITY.md)" in (ROOT / readme).read_text()
