# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import plan as people


def plan(teams, keys, own_keys, servers, routes, models=None):
    """What LiteLLM is to have, once nothing is wrong with it; own_keys: the platform's."""
    found = people.problems(teams, keys, servers, models)
    if found:
        raise AnsibleFilterError("; ".join(str(problem) for problem in found))
    return people.plan(teams, [*own_keys, *keys], routes)


class FilterModule:
    def filters(self):
        return {
            "people_plan": plan,
            "people_models": people.declared_models,
            "people_secret_names": people.secret_names,
            "people_with_values": people.with_values,
            "gateway_team_rules": people.gateway_rules,
            "gateway_known_keys": people.gateway_known,
        }
