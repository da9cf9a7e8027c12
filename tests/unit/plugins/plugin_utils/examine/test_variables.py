# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import inventory, variables
from platforms import ROOT


def test_the_password_of_a_login_is_in_no_message():
    specs, _prefixes = variables.argument_specs()
    name, login = "docker_registry_logins", {"registry": "harbor.example", "password": "a-secret"}
    for value in ([login], [{**login, "username": "x", "passwort": "a-secret"}], [["a-secret"]]):
        problems = variables.value_problems(name, value, specs[name])
        assert problems
        assert "a-secret" not in "".join(map(str, problems))
    (problem,) = variables.value_problems(name, [login], specs[name])
    assert "missing required arguments: username" in problem.found


def test_types_are_checked_against_the_argument_specs():
    team = {"name": "payments", "models": ["small"], "mcp": {"tickets": ["*"]}, "members": []}
    spec = variables.argument_specs()[0]["teams"]
    assert variables.value_problems("teams", [team], spec) == []
    for wrong in ("payments", [{"models": []}], [{**team, "members": [{"alias": "a", "x": 1}]}]):
        assert variables.value_problems("teams", wrong, spec), wrong


def test_no_variable_of_a_role_is_taken_for_a_misspelt_option():
    """Roles have variables that are no options, and preflight sees them, too."""
    known, prefixes = variables.argument_specs()
    files = [*ROOT.glob("roles/*/vars/main.yml"), *ROOT.glob("roles/*/vars/main/*.yml")]
    names = {name for path in files for name in yaml.safe_load(path.read_text()) or {}}
    assert not inventory.unknown_variables(sorted(names), set(known), prefixes)
