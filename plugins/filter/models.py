# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import models, sites


class FilterModule:
    def filters(self):
        return guarded(
            {
                "ollama_facts": models.facts,
                "ollama_facts_of_all": models.facts_of_all,
                "preflight_models": models.for_preflight,
                "litellm_api_keys": models.api_keys,
                "gemini_aliases": models.gemini_aliases,
                "declared_models": models.declared_models,
                "model_of_ollama": models.of_ollama,
                "model_of_custom_api": models.of_custom_api,
                "litellm_model_info": models.litellm_model_info,
                "litellm_connections": models.litellm_connections,
                "dropped_parameters": models.dropped_parameters,
                "site_deployments": sites.deployments,
                "site_keys": sites.keys,
                "site_key_variables": sites.key_variables,
                "sites_asked": sites.asked,
            }
        )
