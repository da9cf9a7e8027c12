# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What LiteLLM 1.106 leaves out on Google's paths, which Gemini CLI asks on.

There it turns a request into a chat completion of its own and loses the deployment's parameters on
the way (context, longest answer, what to drop), checks no prompt's length, and reports every
refusal of a model as its own failure.
"""

import asyncio

from fastapi import HTTPException
from litellm import ContextWindowExceededError, token_counter
from litellm.google_genai.adapters.transformation import GoogleGenAIAdapter
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy import proxy_server
from litellm.types.utils import CallTypes

GOOGLES = (CallTypes.agenerate_content, CallTypes.agenerate_content_stream)
LOST = ("max_tokens", "num_ctx", "keep_alive", "extra_body", "additional_drop_params")
# What Ollama says of a prompt that does not fit.
TOO_LONG = "exceeds the available context size"


class GooglePaths(CustomLogger):
    """LiteLLM calls these for every request; those of other paths pass unchanged."""

    async def async_pre_call_deployment_hook(self, kwargs, call_type):
        """Check the length of a Google request; give its chat completion what was lost."""
        if call_type in GOOGLES:
            await asyncio.to_thread(check_length, kwargs)
        elif call_type == CallTypes.acompletion:
            return {**parameters(kwargs), **kwargs}
        return None

    async def async_post_call_failure_hook(self, request_data, original_exception, *_, **__):
        """Say of a prompt that is too long that it is; LiteLLM would say that it failed itself."""
        if "contents" in request_data and TOO_LONG in str(original_exception):
            return HTTPException(400, {"error": str(original_exception).partition("\n")[0]})
        return None


def check_length(kwargs):
    """Refuse a prompt that does not fit into the deployment's context."""
    limit = (kwargs.get("model_info") or {}).get("max_input_tokens")
    if not limit:
        return
    fields = {name: kwargs.get(name) for name in ("systemInstruction", "tools")}
    chat = GoogleGenAIAdapter().translate_generate_content_to_completion(
        kwargs["model"], kwargs["contents"], **fields
    )
    found = token_counter(messages=chat["messages"], tools=chat.get("tools"))
    if found > limit:
        raise ContextWindowExceededError(
            message=f"the prompt has {found} tokens, the context of the model {limit}",
            model=kwargs["model"],
            llm_provider="",
        )


def parameters(kwargs):
    """Return parameters of the deployment that a request is for."""
    known = (kwargs.get("model_info") or {}).get("id")
    deployment = proxy_server.llm_router.get_deployment(model_id=known) if known else None
    if deployment is None:
        return {}
    given = deployment.litellm_params.model_dump(exclude_none=True)
    return {name: given[name] for name in LOST if name in given}


handler = GooglePaths()
