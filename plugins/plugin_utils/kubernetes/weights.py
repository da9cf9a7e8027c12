# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Models of an Ollama in a cluster: out of which registry each comes, and what room it takes. Pure.

Nothing there is pulled from the internet: a model without a registry of the site's is refused.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.ollama.client import (
    canonical_name,
    registry_name,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError

ANY_DIGEST = "-"
HTTPS = 443


def loads(models: list[dict], registry: str) -> list[str]:
    """What a Job that loads them is told, a text a model.

    registry: of the site, for models that name none.
    """
    found = []
    for model in models:
        name = canonical_name(model["name"])
        if model.get("state", "present") == "absent":
            found.append(name)
            continue
        digest = (model.get("digest") or "").removeprefix("sha256:") or ANY_DIGEST
        found.append(f"{name} {_source(model, registry)} {digest}")
    return found


def names(models: list[dict]) -> list[str]:
    """Those that have to be there, as Ollama lists them."""
    return [canonical_name(m["name"]) for m in models if m.get("state", "present") == "present"]


def registries(models: list[dict], registry: str) -> list[str]:
    """Where the Job connects to, as an entry's `egress` says it."""
    present = [model for model in models if model.get("state", "present") == "present"]
    hosts = dict.fromkeys(_source(model, registry).partition("/")[0] for model in present)
    return [host if ":" in host else f"{host}:{HTTPS}" for host in hosts]


def total_bytes(models: list[dict]) -> int:
    """What the weights take, of models that say it."""
    return int(sum(float(model.get("size_gb") or 0) for model in models) * 10**9)


def _source(model: dict, registry: str) -> str:
    """The name by which Ollama pulls it: with a registry's host first."""
    declared = [
        source
        for source in model.get("sources") or [{}]
        if source.get("type") in (None, "registry")
    ]
    said = declared[0] if declared else {"registry": ""}
    if said.get("insecure"):
        raise KubernetesError(
            f"model {model['name']} has a source that is insecure",
            "a registry with TLS, whose authority is in platform_ca_bundle",
            "leave insecure out",
        )
    given = said.get("registry", registry)
    name = registry_name(said.get("model") or model["name"], given if declared else "")
    host = name.partition("/")[0]
    if "/" not in name or not ("." in host or ":" in host):
        raise KubernetesError(
            f"model {model['name']} would come from {name}, which names no registry",
            "a registry of the site's: nothing in a cluster is pulled from the internet",
            "set ollama_registry, or the registry of its sources, and push the model there",
        )
    return name
