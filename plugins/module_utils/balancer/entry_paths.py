# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which paths the one address serves, and to whom: one list for HAProxy, Traefik and nginx. Pure.

Paths are compared as they were sent. One that could be read as another is refused, so that what the
balancer compares is what a service sees.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

# What the gateway serves; LiteLLM has an own /mcp, which stays out of sight.
GATEWAY_PATHS = (
    ("path", "/ /mcp /sse /messages"),
    ("path_beg", "/mcp/ /sse/ /messages/ /servers/ /.well-known/oauth-protected-resource"),
)
# The page for people, where there is one.
PORTAL_PATHS = (("path", "/portal"), ("path_beg", "/portal/"))
# What it publishes as an authorization server stands before its path, not below it (RFC 8414, 3).
AUTHORIZATION_PATHS = (
    ("path", "/.well-known/oauth-authorization-server/portal"),
    ("path", "/.well-known/openid-configuration/portal"),
)
# What people and their clients ask of LiteLLM: the shapes of OpenAI (with and without /v1), Azure,
# Anthropic, Gemini and Cohere, and what a key may do. Each with all below it.
_SHAPES = (
    "audio batches chat completions embeddings files images models moderations realtime rerank "
    "responses"
)
MODEL_PATHS = (
    *(f"{root}/{shape}" for root in ("/v1", "") for shape in _SHAPES.split()),
    "/v1/messages",
    "/v1beta/models",
    "/v2/rerank",
    "/openai/deployments",
    "/engines",
    "/key/info",
)
# Answered by the balancer itself: whether each service has a replica that may get requests.
HEALTH_PATHS = ("/health", "/ready")
# Answered by nobody, nor is what lies below it: what it tells is the operator's business.
HIDDEN_PATH = "/metrics"

# Encoded: what needs no encoding (RFC 3986, 2.3), control characters, a backslash. Half an
# encoding. Dot segments, also between encoded slashes. Empty segments. What is no printable ASCII.
# PCRE2, RE2 and Python read it alike.
REFUSED_PATH = "|".join(
    [
        "%(?:[01][0-9A-Fa-f]|2[DEde]|3[0-9]|[46][1-9A-Fa-f]|5[0-9ACFacf]|7[0-9AEFaef])",
        "%(?:$|[^0-9A-Fa-f]|[0-9A-Fa-f](?:$|[^0-9A-Fa-f]))",
        "(?:/|%2[Ff])[.][.]?(?:/|%2[Ff]|$)",
        "//",
        r"[^!-~]|\x5c",
    ]
)

_FURTHER = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def portal_paths(settings: dict) -> tuple:
    """Paths of the portal. settings: has_registration, whether programs register themselves."""
    return (*PORTAL_PATHS, *(AUTHORIZATION_PATHS if settings.get("has_registration") else ()))


def model_paths(settings: dict) -> list[str]:
    """Paths of LiteLLM that are open to people, each with all below it.

    settings: paths, what a site opens besides.
    """
    for path in settings.get("paths", []):
        if not _FURTHER.fullmatch(path):
            raise Unusable(
                f"found the path {path!r} to open to people; expected one like /v1/ocr, without a "
                "slash at its end: correct load_balancer_paths"
            )
    return list(dict.fromkeys([*MODEL_PATHS, *settings.get("paths", [])]))


def operator_networks(settings: dict) -> list[str]:
    """Networks from where every path is served but the hidden one; perhaps none."""
    found = []
    for network in settings.get("operators", []):
        try:
            found.append(str(ipaddress.ip_network(network)))
        except ValueError as error:
            raise Unusable(
                f"found the network {network!r} of operators ({error}); expected one like "
                "10.1.2.0/24: correct platform_operators_networks"
            ) from error
    return found
