# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import (
    files,
    weights,
    workloads,
)


class FilterModule:
    def filters(self):
        return guarded(
            {
                "kubernetes_files": files.files,
                "kubernetes_model_bytes": weights.total_bytes,
                "kubernetes_model_loads": weights.loads,
                "kubernetes_model_names": weights.names,
                "kubernetes_model_registries": weights.registries,
                "kubernetes_model_sources": weights.sources,
                "kubernetes_models_sent": weights.sent,
                "kubernetes_most_pods": workloads.most_pods,
                "kubernetes_needed_secrets": files.described,
                "kubernetes_secret_keys": files.secret_keys,
            }
        )
