# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Options of a role, asked for where that role does not run."""

from __future__ import annotations

import pytest
import support
import yaml
from ansible.errors import AnsibleLookupError
from ansible.template import trust_as_template


def asked(*names, **variables):
    return support.run_lookup("role_option", *names, variables=variables)


def test_what_the_inventory_says_wins():
    written = trust_as_template("{{ wanted }}")
    assert asked("ollama_context_length", ollama_context_length=written, wanted=9) == [9]


def test_else_it_is_what_the_roles_defaults_say():
    defaults = yaml.safe_load((support.REPOSITORY / "roles/docker/defaults/main.yml").read_text())
    names = ["docker_socket", "docker_registry_ca", "docker_registry_logins"]
    assert asked(*names) == [defaults[name] for name in names]


@pytest.mark.parametrize(
    ("variables", "megabytes"), [({}, 256), ({"load_balancer_engine": "traefik"}, 512)]
)
def test_a_default_may_be_made_of_variables_and_of_other_defaults(variables, megabytes):
    assert asked("load_balancer_memory_mb", **variables) == [megabytes]


def test_an_option_that_no_role_has_is_one_clear_message():
    with pytest.raises(AnsibleLookupError, match="found no default of ollama_contxt"):
        asked("ollama_contxt")
