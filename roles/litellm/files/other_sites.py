# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Ask another site for a model only where none of this site's servers is left, and never in turn.

LiteLLM's `order` alone does not do: filters are asked before it is looked at, so that a
conversation could be kept on another site's deployment while this site's are well. And what turns
fallbacks off for a request (`disable_fallbacks`, of the request or noted with its key) does not
turn off the deployment that is next in order while those before it are set aside: two sites whose
own servers are all down would ask each other without end.

Should the other site's key not be noted, `disable_fallbacks` of the request is what stops it there.
"""

from litellm.integrations.custom_logger import CustomLogger
from litellm.router_utils.fallback_event_handlers import fallbacks_disabled_for_request
from litellm.utils import get_order_filtered_deployments


class OtherSites(CustomLogger):
    """LiteLLM asks it at every request and every retry, before it asks `prefix_affinity`."""

    async def async_filter_deployments(
        self, model, healthy_deployments, messages, request_kwargs=None, parent_otel_span=None
    ):
        """Return this site's deployments, or those of the order that LiteLLM has got to.

        A request without fallbacks came from another site, or stays here by its own wish.
        """
        request = request_kwargs or {}
        if fallbacks_disabled_for_request(request):
            return [one for one in healthy_deployments if "site" not in one["model_info"]]
        return get_order_filtered_deployments(healthy_deployments, request.get("_target_order"))

    async def async_pre_call_deployment_hook(self, kwargs, call_type):
        """Have what goes to another site say so; a caller's parameters replace the deployment's."""
        if not (kwargs.get("model_info") or {}).get("site"):
            return None
        given, dropped = kwargs.get("extra_body"), kwargs.get("additional_drop_params")
        kept = given if isinstance(given, dict) else {}
        return {
            **kwargs,
            "extra_body": {**kept, "disable_fallbacks": True},
            "additional_drop_params": [
                name
                for name in (dropped if isinstance(dropped, list) else ())
                if name not in ("extra_body", "disable_fallbacks")
            ],
        }


handler = OtherSites()
