# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """Where the host's container engine listens."""

    DOCUMENTATION = r"""
options:
  socket:
    description: The engine's socket.
    type: path
    default: /var/run/docker.sock
"""
