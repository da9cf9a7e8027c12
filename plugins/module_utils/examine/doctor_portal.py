# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The rule about the portal: why people cannot sign in. Pure."""

from __future__ import annotations

import dataclasses

from ansible_collections.intranet.mcp.plugins.module_utils.examine import portal
from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor import Rule, of_service


def sign_on(facts, wanted):
    """What the portal misses. A container of this host that does not run has its finding."""
    for found in portal.judge("sign-on", of_service(facts, wanted, "portal") or {}):
        container = facts["containers"].get(found.service) or {}
        is_here = found.service in wanted["services"]
        if not is_here or container.get("state") == "running":
            yield dataclasses.replace(found, service="portal")


RULES: list[tuple[str, Rule]] = [("sign-on", sign_on)]
