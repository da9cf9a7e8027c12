# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import (
    files,
    site,
    weights,
    workloads,
)


def _clear_errors(function):
    """A pure function as a filter: its own errors become one line without a traceback."""

    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except site.KubernetesError as error:
            raise AnsibleFilterError(str(error)) from error

    return call


class FilterModule:
    def filters(self):
        return {
            "kubernetes_files": files.files,
            "kubernetes_model_bytes": weights.total_bytes,
            "kubernetes_model_loads": _clear_errors(weights.loads),
            "kubernetes_model_names": weights.names,
            "kubernetes_model_registries": _clear_errors(weights.registries),
            "kubernetes_most_pods": workloads.most_pods,
            "kubernetes_needed_secrets": files.described,
            "kubernetes_secret_keys": files.secret_keys,
        }
