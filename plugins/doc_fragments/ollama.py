# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """How to reach Ollama."""

    DOCUMENTATION = r"""
options:
  ollama_url:
    description: Where Ollama answers, as seen from the host that runs the module.
    type: str
    default: http://127.0.0.1:11434
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
"""
