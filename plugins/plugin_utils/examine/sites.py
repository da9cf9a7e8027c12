# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight reads of an inventory about other sites of the company."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.external import own_places
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import plan, sites
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import UNUSABLE


def site_problems(task_vars, template):
    """What is wrong with litellm_sites, beyond the types of its keys, which its role says."""

    def given(name, default):
        return template(task_vars.get(name, default))

    try:
        if not (others := given("litellm_sites", [])):
            return []
        names = plan.declared_models(given("ollama_models", []), given("litellm_custom_apis", []))
        own = own_places(task_vars, template) | {given("platform_public_name", "")}
        known = None if given("litellm_store_models", False) else names
        return [*sites.problems(others, own, known)]
    except UNUSABLE:
        return []  # what it needs is itself wrong, and reported
