# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import plan as people
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import (
    sign_on,
    token_key,
    usage,
    usage_files,
)


def plan(
    teams: list[dict],
    keys: list[dict],
    own_keys: list[dict],
    servers: dict,
    routes: list[str],
    models: list[str] | None = None,
) -> dict:
    """What LiteLLM is to have, once nothing is wrong with it; own_keys: the platform's."""
    found = people.problems(teams, keys, servers, models)
    if found:
        raise AnsibleFilterError("; ".join(str(problem) for problem in found))
    return people.plan(teams, [*own_keys, *keys], routes)


class FilterModule:
    def filters(self):
        return guarded(
            {
                "people_plan": plan,
                "people_models": people.declared_models,
                "people_secret_names": people.secret_names,
                "people_with_values": people.with_values,
                "gateway_team_rules": people.gateway_rules,
                "gateway_known_keys": people.gateway_known,
                "gateway_oidc": sign_on.gateway_oidc,
                "gateway_portal_oidc": sign_on.gateway_portal_oidc,
                "gateway_resources": sign_on.gateway_resources,
                "portal_jwks": token_key.portal_jwks,
                "usage_period": usage.period,
                "usage_report": usage.report,
                "usage_file_name": usage_files.file_name,
                "usage_table": usage_files.table,
                "usage_csv": usage_files.people_csv,
                "usage_tools_csv": usage_files.tools_csv,
                "usage_page": usage_files.page,
            }
        )
