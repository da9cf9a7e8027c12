# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """How to reach a Kubernetes cluster."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description: The kubeconfig on the host that runs the module.
    type: path
    required: true
  context:
    description: One of its contexts. Empty means the current one.
    type: str
    default: ""
"""
