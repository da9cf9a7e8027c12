# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """How to reach a running load balancer."""

    DOCUMENTATION = r"""
options:
  directory:
    description:
      - The balancer's run directory on this host, with HAProxy's sockets or what Traefik serves.
    type: path
    required: true
  container:
    description: Name of the balancer's container.
    type: str
    required: true
"""
