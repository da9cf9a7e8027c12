# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Other sites of the company, which LiteLLM asks when no server of this one is left. Pure.

A site is an entry of `litellm_sites`: `name`, `url` (https, without /v1), and where said `key` and
`models`. Each has an inventory and a platform of its own; what one knows of another is this entry.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import models

# In which order LiteLLM uses deployments of a model: the lowest that is left.
HERE, ELSEWHERE = 1, 2
# The alias of the key that other sites come with; its value is the secret key-other-sites.
KEY_ALIAS = "other-sites"
# For a million tokens of a model that has no price. LiteLLM takes what the answer's headers say for
# one that costs nothing known, and asks for no budget at all where it is told zero.
NOTHING = {"input": 1.1e-12, "output": 1.1e-12}


def deployments(sites: list[dict], known: list[dict], declared: list[dict]) -> list[dict[str, Any]]:
    """Return a deployment of LiteLLM for each model at each site: entries of `model_list`.

    known: this site's models, as `models.declared_models` returns them. declared: entries of
    ollama_models and litellm_custom_apis, whose prices count for what another site answers, too.
    Keys are references to the variables SITE_KEY_1, SITE_KEY_2, in the order of the sites.
    """
    return [
        _deployment(site, number, model, _price(model["name"], declared))
        for number, site in enumerate(sites, 1)
        for model in known
        if model["name"] in wanted(site, [model["name"]])
    ]


def wanted(site: dict, names: list[str]) -> list[str]:
    """Return the models that a site is asked for. names: those of this site."""
    return [name for name in names if name in site.get("models", names)]


def _deployment(site: dict, number: int, model: dict, price: dict | None) -> dict[str, Any]:
    dropped = models.dropped_parameters(model)
    info = models.litellm_model_info(model, "openai", price)
    return {
        "model_name": model["name"],
        "litellm_params": {
            "model": f"openai/{model['name']}",
            "api_base": f"{_address(site)}/v1",
            "api_key": f"os.environ/{_key_variable(number)}",
            "order": ELSEWHERE,
            "use_chat_completions_api": True,
            # That site's key for this one says the same, should only one of both be told.
            "extra_body": {"disable_fallbacks": True},
            **({"additional_drop_params": dropped} if dropped else {}),
        },
        # Conversations are kept by host.
        "model_info": {**info, "site": site["name"], "host": f"site {site['name']}"},
    }


def _price(name: str, declared: list[dict]) -> dict | None:
    """What this site says; None for an API, of which LiteLLM may know it."""
    named = [one for one in declared if name in (one.get("name"), one.get("model_name"))]
    told = next((one["price"] for one in named if one.get("price")), None)
    return told or (NOTHING if any("name" in one for one in named) else None)


def keys(sites: list[dict], shared: str) -> dict[str, str]:
    """Return what is shown at each site, by the names that probes have for it.

    shared: the value of the key that all sites have.
    """
    return {_key_name(site): site.get("key") or shared for site in sites}


def key_variables(keys: dict[str, str]) -> dict[str, str]:
    """Return what is shown at each site, by LiteLLM's variables. keys: as `keys` returns them."""
    return {_key_variable(number): key for number, key in enumerate(keys.values(), 1)}


def asked(sites: list[dict], names: list[str]) -> list[dict[str, Any]]:
    """Return what verify and doctor ask of each site, as `verify_hosts.external_probes` takes it.

    names: of this site's models.
    """
    return [
        {
            "service": "site",
            "site": site["name"],
            "url": _address(site),
            "key": _key_name(site),
            "models": wanted(site, names),
        }
        for site in sites
    ]


def _key_name(site: dict) -> str:
    return f"site-{site['name']}"


def _key_variable(number: int) -> str:
    return f"SITE_KEY_{number}"


def _address(site: dict) -> str:
    return str(site["url"]).rstrip("/")


def problems(sites: list[dict], own_places: set[str], names: list[str] | None) -> Iterator[Finding]:
    """Yield what is wrong with the sites' addresses, names and models.

    own_places: names and addresses of this site. names: of its models; None where more of them may
    be in LiteLLM's database.
    """
    for number, site in enumerate(sites):
        yield from _address_problems(site, own_places)
        for key in ("name", "url"):
            if any(site[key] == other[key] for other in sites[:number]):
                yield _problem(
                    f"litellm_sites has the {key} {site[key]} twice", "each site once", "remove one"
                )
        unknown = sorted(set(site.get("models", ())) - set(names or ()))
        if names is not None and unknown:
            yield _problem(
                f"the site {site['name']} is to be asked for {', '.join(unknown)}",
                f"models of this site ({', '.join(names) or 'none'}), which it has, too",
                "correct the name; a model that only that site has is an entry of "
                "litellm_custom_apis",
            )


def _address_problems(site: dict, own_places: set[str]) -> Iterator[Finding]:
    expected = "an address such as https://llm.north.example.internal, without /v1"
    place = _place(str(site["url"]))
    if place is None:
        yield _problem(
            f"the site {site['name']} has the url {site['url']!r}",
            f"{expected}: keys and prompts go there",
            "correct it; there is no way without TLS",
        )
    elif place in own_places:
        yield _problem(
            f"the site {site['name']} has the url {site['url']!r}, which is this site",
            "another one's",
            "take it out of litellm_sites: each inventory names the others",
        )


def _place(url: str) -> str | None:
    """The host of a usable address."""
    try:
        read = urlsplit(url)
        place, _port = read.hostname, read.port
    except ValueError:
        return None
    beyond = read.query or read.fragment or read.username or read.path.rstrip("/").endswith("/v1")
    if read.scheme != "https" or not place or beyond:
        return None
    try:
        return str(ipaddress.ip_address(place))
    except ValueError:
        return place


def _problem(found: str, expected: str, action: str) -> Finding:
    return Finding("inventory", found, expected, action)
