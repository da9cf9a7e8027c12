# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils import _models


class FilterModule:
    def filters(self):
        return {
            "ollama_facts": _models.facts,
            "ollama_facts_of_all": _models.facts_of_all,
            "preflight_models": _models.for_preflight,
            "declared_models": _models.declared_models,
            "model_of_ollama": _models.of_ollama,
            "model_of_custom_api": _models.of_custom_api,
            "litellm_model_info": _models.litellm_model_info,
            "dropped_parameters": _models.dropped_parameters,
        }
