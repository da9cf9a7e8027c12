# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether people can sign in at the portal, from what it says of the parts that it needs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding

# Each part, and the service of the platform that it is; the provider is the company's.
PARTS = {"provider": "", "litellm": "litellm", "gateway": "gateway", "store": "redis"}
_RUN = "run the playbook"
_SIGN_IN = "a provider at which people can sign in"
# What is expected and what to do, by the portal's own keys of problems.
REMEDIES = {
    "provider_away": (
        _SIGN_IN,
        "check from this host whether the address in platform_oidc.issuer resolves and answers "
        "(curl ISSUER/.well-known/openid-configuration), whether a firewall is between the two, "
        "and whether platform_oidc.ca_file is the authority of its certificate",
    ),
    "other_issuer": (
        "the issuer that platform_oidc.issuer names, letter by letter",
        f"correct platform_oidc.issuer, and {_RUN}",
    ),
    "client_refused": (
        "a client that the provider knows",
        "write the client's secret, as the provider shows it, into the secret that "
        f"platform_oidc.client_secret names, or correct platform_oidc.client_id, and {_RUN}",
    ),
    "clocks_differ": (
        "clocks that differ by no more than portal_clock_leeway_seconds",
        "compare date -u here with the provider's; start the time service on whichever is wrong",
    ),
    "no_signing_key": (
        "a key to check tokens with at the provider's jwks_uri",
        "have the provider's administrators publish its signing keys",
    ),
    "signing_keys_expired": (
        "a signing key of the provider that has not expired",
        "have the provider's administrators rotate its signing keys",
    ),
    "litellm_away": (
        "LiteLLM, which makes people's keys",
        "start LiteLLM, or check what filters between the portal and it",
    ),
    "litellm_refused": (
        "a LiteLLM that accepts the portal's key (key-intranet-portal)",
        f"{_RUN}, whose role teams has the key in LiteLLM; with HTTP 5xx read LiteLLM's log",
    ),
    "gateway_away": (
        "the gateway, which lists the tools",
        "start the gateway, or check what filters between the portal and it",
    ),
    "store_away": (
        "the Redis in which replicas keep sessions",
        "start Redis, or check what filters between the portal and it; if it says that the "
        f"password is wrong, {_RUN}",
    ),
}
_OTHER = ("an answer", "docker logs the portal's container, which says more")


def judge(check: str, told: Any) -> Iterator[Finding]:
    """Yield a finding for each part that fails.

    told: the JSON of the portal's `/checks`.
    """
    keys = told.get("problems") or {}
    for part in sorted(set(told) - {"status", "problems"}):
        expected, action = REMEDIES.get(keys.get(part, ""), _OTHER)
        service = PARTS.get(part) or "portal"
        yield Finding(check, f"people cannot sign in: {told[part]}", expected, action, "", service)
