# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keep a conversation on the deployment whose prefix cache has read it.

An agent sends its whole conversation again with every turn. The server that answered the last turn
reads only what is new; any other reads tens of thousands of tokens from the start.

LiteLLM's own `session_affinity` draws the deployment of a conversation at random and remembers it:
replicas agree through Redis alone, and only while they know a deployment by the same id; a
conversation whose deployment has failed draws anew for every turn; and clients that send no session
id have none. Rendezvous hashing needs no memory: every replica computes the same order of servers
for a conversation, and whatever server is out, the next in that order takes all its turns.
"""

import hashlib
import json

from litellm.integrations.custom_logger import CustomLogger

METADATA = ("litellm_metadata", "metadata")
INSTRUCTIONS = ("system", "instructions", "systemInstruction")
TURNS = ("messages", "input", "contents")


class PrefixAffinity(CustomLogger):
    """LiteLLM asks it at every request and every retry which healthy deployment to use."""

    async def async_filter_deployments(
        self, model, healthy_deployments, messages, request_kwargs=None, parent_otel_span=None
    ):
        """Return the one deployment for the conversation, or all for what is no conversation."""
        if len(healthy_deployments) < 2 or not are_alike(healthy_deployments):
            return healthy_deployments
        request = {"messages": messages, **(request_kwargs or {})}
        key = conversation_key(request)
        if key is None:
            return healthy_deployments
        return [first_choice(key, untried(healthy_deployments, request))]


def are_alike(deployments):
    """Return whether any of the deployments may have the conversation.

    Where they read different amounts, LiteLLM looks for one that the prompt fits, and needs all of
    them for that. Embeddings gain nothing from a prefix.
    """
    told = [one["model_info"] for one in deployments]
    is_chat = all(info.get("mode") != "embedding" for info in told)
    return is_chat and len({info.get("max_input_tokens") for info in told}) == 1


def conversation_key(request):
    """Return what all turns of a conversation have in common, None where nothing says so.

    LiteLLM reads the session id from the headers of Claude Code, Codex and opencode. The caller's
    key is part of it: whoever repeats another's words or session id must not meet the server that
    has read them, and hear from its speed that they were said.
    """
    session = _told(request, "session_id") or request.get("prompt_cache_key")
    session = session or opening_hash(request)
    return (_told(request, "user_api_key_hash"), str(session)) if session else None


def _told(request, name):
    """Return what LiteLLM knows of a request."""
    return next((found[name] for found in metadata_of(request) if found.get(name)), None)


def opening_hash(request):
    """Return a hash of what no later turn changes: instructions and the first words of the user."""
    turns = next((request[name] for name in TURNS if request.get(name)), None)
    if turns is None:
        return None
    opening = [request.get(name) for name in INSTRUCTIONS]
    for turn in turns if isinstance(turns, list) else [turns]:
        opening.append(turn)
        if not isinstance(turn, dict) or turn.get("role", "user") == "user":
            break
    text = json.dumps(opening, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def untried(deployments, request):
    """Return the deployments that have not failed this very request; all where each has."""
    failed = {
        attempt.get("deployment_id")
        for metadata in metadata_of(request)
        for attempt in metadata.get("previous_models") or ()
        if isinstance(attempt, dict)
    }
    return [one for one in deployments if one["model_info"]["id"] not in failed] or deployments


def metadata_of(request):
    """Return the metadata of a request; LiteLLM's paths differ in where they put it."""
    return [found for name in METADATA if isinstance(found := request.get(name), dict)]


def first_choice(key, deployments):
    """Return the deployment that ranks highest for a conversation.

    Deployments of a host are called by its name: replicas of LiteLLM reach it by different
    addresses, and LiteLLM's own id of a deployment depends on the address.
    """

    def rank(deployment):
        info = deployment["model_info"]
        name = json.dumps([key, info.get("host") or info["id"]])
        return hashlib.sha256(name.encode()).digest()

    return max(deployments, key=rank)


handler = PrefixAffinity()
