# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """How to log in at container registries."""

    DOCUMENTATION = r"""
options:
  registry_logins:
    description:
      - Logins at registries, which are on the host only while it pulls.
      - For other registries the user's own hold, out of C(~/.docker/config.json) or the credential
        helper that is named there.
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: The registry's host, as references name it.
        type: str
        required: true
      username:
        description: Who pulls.
        type: str
        required: true
      password:
        description: The password or token.
        type: str
        required: true
"""
