# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Models of an Ollama in a cluster: where each comes from, and what room it takes. Pure.

A Job pulls those of a registry. Those of a package, a file or a Modelfile are sent by the control
node. Nothing is pulled from the internet: a registry that is not the site's is refused.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.ollama.client import (
    canonical_name,
    registry_name,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError

ANY_DIGEST = "-"
HTTPS = 443
REGISTRY = "registry"


def loads(models: list[dict], registry: str) -> list[str]:
    """What a Job that loads them is told, a text a model that comes out of a registry.

    registry: of the site, for models that name none.
    """
    found = [canonical_name(m["name"]) for m in models if not _is_present(m)]
    for model in models:
        if not _is_present(model) or _is_sent(model):
            continue
        pulled = sources(model, registry)[0]["model"]
        digest = (model.get("digest") or "").removeprefix("sha256:") or ANY_DIGEST
        found.append(f"{canonical_name(model['name'])} {pulled} {digest}")
    return found


def names(models: list[dict]) -> list[str]:
    """Those that have to be there, as Ollama lists them."""
    return [canonical_name(model["name"]) for model in models if _is_present(model)]


def sent(models: list[dict]) -> list[dict]:
    """Those whose weights the control node sends, as no registry has to have them."""
    return [model for model in models if _is_present(model) and _is_sent(model)]


def sources(model: dict, registry: str, of_package: list[dict] | None = None) -> list[dict]:
    """What `ollama_model` is told of a model, registries by the name with their host first.

    of_package: the weights that it comes with, where its entry has a `file`.
    """
    if declared := model.get("sources"):
        return [_source(model, source, registry) for source in declared]
    if "file" not in model:
        return [_source(model, {}, registry)]
    is_pulled = registry and not model.get("embedding")
    return [*([_source(model, {}, registry)] if is_pulled else []), *(of_package or [])]


def registries(models: list[dict], registry: str) -> list[str]:
    """Where Ollama connects to, as an entry's `egress` says it."""
    pulled = [
        source["model"].partition("/")[0]
        for model in models
        if _is_present(model)
        for source in sources(model, registry)
        if source["type"] == REGISTRY
    ]
    return [host if ":" in host else f"{host}:{HTTPS}" for host in dict.fromkeys(pulled)]


def total_bytes(models: list[dict], artifacts: dict) -> int:
    """What the weights take, of models that say it or come in a package."""
    return sum(
        int(float(model.get("size_gb") or 0) * 10**9)
        or artifacts.get(model.get("file"), {}).get("member_bytes", 0)
        for model in models
        if _is_present(model)
    )


def _is_present(model: dict) -> bool:
    return model.get("state", "present") == "present"


def _is_sent(model: dict) -> bool:
    kinds = {source.get("type", REGISTRY) for source in model.get("sources") or []}
    return bool(kinds - {REGISTRY}) if kinds else "file" in model


def _source(model: dict, said: dict, registry: str) -> dict:
    """One source; of a registry the name by which Ollama pulls the model there."""
    if said.get("type", REGISTRY) != REGISTRY:
        return said
    if said.get("insecure"):
        raise KubernetesError(
            f"model {model['name']} has a source that is insecure",
            "a registry with TLS, whose authority is in platform_ca_bundle",
            "leave insecure out",
        )
    name = registry_name(said.get("model") or model["name"], said.get("registry", registry))
    host = name.partition("/")[0]
    if "/" not in name or not ("." in host or ":" in host):
        raise KubernetesError(
            f"model {model['name']} would come from {name}, which names no registry",
            "a registry of the site's: nothing in a cluster is pulled from the internet",
            "set ollama_registry, or the registry of its sources, and push the model there; or "
            "name a file, which the control node sends",
        )
    return {"type": REGISTRY, "model": name}
