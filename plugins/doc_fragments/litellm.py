# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """How to reach LiteLLM as its administrator."""

    DOCUMENTATION = r"""
options:
  litellm_url:
    description: Where LiteLLM answers, as seen from the host that runs the module.
    type: str
    default: http://127.0.0.1:4000
  master_key:
    description: LiteLLM's master key. Give this or O(master_key_file).
    type: str
  master_key_file:
    description:
      - File on the host that runs the module, holding the master key and nothing else.
      - Keeps the key out of the task's arguments.
    type: path
  validate_certs:
    description: Whether to verify the certificate when the address begins with V(https).
    type: bool
    default: true
  ca_path:
    description: File with the CA certificates to verify with, in place of the host's own.
    type: path
  timeout:
    description: Seconds to wait for an answer to an ordinary request.
    type: int
    default: 30
attributes:
  action_group:
    description: Use C(group/intranet.mcp.litellm) in C(module_defaults) to set the connection once.
    support: full
    membership:
      - intranet.mcp.litellm
"""
