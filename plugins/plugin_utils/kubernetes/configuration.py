# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files and secrets of a service: ConfigMaps, a Secret, and how they are mounted. Pure.

Files that are read once are in a ConfigMap that is named after its content and never changes: a
pod of before keeps what it was started with, also when it restarts in the middle of a rollout that
fails. Files that the program follows by itself (`reload`) are in one that changes in place.
"""

from __future__ import annotations

import base64
import re

from ansible_collections.intranet.mcp.plugins.module_utils.engine import authorities
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import (
    KubernetesError,
    object_named,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import (
    SHARED,
    Target,
    Unit,
    digest,
)

CONFIG, SECRETS, TRUST = "config", "secrets", "trust"
# The API server takes no bigger one.
OBJECT_BYTES = 1024 * 1024
READ_BY_ALL, READ_BY_GROUP = 0o444, 0o440
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def objects(unit: Unit) -> list[dict]:
    """The ConfigMaps of a service, and its Secret where the site has not one of its own."""
    found = []
    if static := _static(unit):
        found.append({**_config_map(unit, _static_name(unit), static), "immutable": True})
    if live := _live(unit):
        found.append(_config_map(unit, _live_name(unit), live))
    values = _values(unit)  # names are checked also where the site makes the Secret
    if values and unit.target.with_secrets and not _existing(unit):
        found.append(_secret(unit, values))
    return found


def needed_secret(unit: Unit) -> dict | None:
    """Name and keys of the Secret that has to be there before the service starts."""
    if not _values(unit) or (unit.target.with_secrets and not _existing(unit)):
        return None
    return {
        "service": unit.service.name,
        "name": _secret_name(unit),
        "keys": sorted(_key(unit, name) for name in _values(unit)),
    }


def content_hash(unit: Unit) -> str:
    """What restarts the pods when it changes; empty where they read nothing once."""
    values = {} if _existing(unit) or not unit.target.with_secrets else _values(unit)
    once = {name: value for name, value in values.items() if name not in _followed(unit)}
    parts = [_static(unit), once, _existing(unit).get("revision", "")]
    # Programs read authorities once. Those that connect to nothing outside need no restart.
    if unit.target.trust and unit.service.egress:
        parts.append(unit.target.trust_digest)
    return digest(*parts) if any(parts) else ""


def env(unit: Unit) -> list[dict]:
    """The environment of the container, by name."""
    trusted = authorities.ENVIRONMENT if unit.target.trust else {}
    plain = {**trusted, **unit.definition.get("env", {})}
    found = {name: {"value": verbatim(value)} for name, value in plain.items()}
    for name in unit.definition.get("secret_env", {}):
        reference = {"name": _secret_name(unit), "key": _key(unit, name)}
        found[name] = {"valueFrom": {"secretKeyRef": reference}}
    if unit.has_peers:
        # Where the other pods reach this one.
        found["POD_IP"] = {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return [{"name": name, **found[name]} for name in sorted(found)]


def mounts(unit: Unit) -> list[tuple[dict, dict]]:
    """Volumes of the pod with their mounts in the container."""
    found = []
    names = [_static_name(unit)] if _static(unit) else []
    names += [_live_name(unit)] if _live(unit) else []
    if names:
        # One directory out of both; mounted as a whole, so that changes arrive in it.
        sources = [{"configMap": {"name": name}} for name in names]
        projected = {"defaultMode": READ_BY_ALL, "sources": sources}
        found.append(_mounted(CONFIG, {"projected": projected}, "/config"))
    if files := unit.definition.get("secrets", {}):
        # Those of the environment are not among them.
        items = [{"key": _key(unit, name), "path": name} for name in sorted(files)]
        secret = {"secretName": _secret_name(unit), "defaultMode": READ_BY_GROUP, "items": items}
        found.append(_mounted(SECRETS, {"secret": secret}, "/secrets"))
    if unit.target.trust:
        config_map = {"name": TRUST, "defaultMode": READ_BY_ALL}
        found.append(_mounted(TRUST, {"configMap": config_map}, authorities.INSIDE))
    return found


def trust(target: Target) -> list[dict]:
    """The site's authorities for every pod, in a ConfigMap that changes in place."""
    if not target.trust:
        return []
    texts = {n: c.decode() for n, c in target.trust.items() if n != authorities.JAVA}
    binary = {authorities.JAVA: _base64(target.trust[authorities.JAVA])}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": target.meta(TRUST, SHARED),
            "data": texts,
            "binaryData": binary,
        }
    ]


def verbatim(value: object) -> str:
    """A text that stays as it is: the kubelet would replace $(NAME) in it."""
    return str(value).replace("$(", "$$(")


def _mounted(name: str, source: dict, path: str) -> tuple[dict, dict]:
    return {"name": name, **source}, {"name": name, "mountPath": path, "readOnly": True}


def _followed(unit: Unit) -> list[str]:
    return unit.definition.get("reload", [])


def _files(unit: Unit) -> dict[str, str]:
    files = {name: str(text) for name, text in unit.definition.get("files", {}).items()}
    for name in files:
        _check_key(unit, "files", name)
    if sum(len(text.encode()) for text in files.values()) > OBJECT_BYTES:
        raise KubernetesError(
            f"{unit.place}: its files have more than {OBJECT_BYTES} bytes",
            "what a ConfigMap holds",
            "put what does not change into its image",
        )
    return files


def _static(unit: Unit) -> dict[str, str]:
    return {n: text for n, text in _files(unit).items() if n not in _followed(unit)}


def _live(unit: Unit) -> dict[str, str]:
    return {n: text for n, text in _files(unit).items() if n in _followed(unit)}


def _static_name(unit: Unit) -> str:
    return f"{unit.name}-{CONFIG}-{digest(_static(unit))}"


def _live_name(unit: Unit) -> str:
    return f"{unit.name}-live"


def _config_map(unit: Unit, name: str, data: dict[str, str]) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": unit.meta(name), "data": data}


def _values(unit: Unit) -> dict[str, str]:
    """Secrets of both kinds by name."""
    files, of_env = (unit.definition.get(key, {}) for key in ("secrets", "secret_env"))
    for name in (*files, *of_env):
        _check_key(unit, "secrets", name)
    if both := sorted(set(files) & set(of_env)):
        raise KubernetesError(
            f"{unit.place} has {both[0]!r} in secrets and in secret_env",
            "each name once: both are in one Secret",
            "rename one of them",
        )
    return {name: str(value) for name, value in {**files, **of_env}.items()}


def _existing(unit: Unit) -> dict:
    """What the site says of a Secret that it makes itself."""
    return unit.target.site.secrets.get(unit.service.name, {})


def _secret_name(unit: Unit) -> str:
    given = _existing(unit)
    place = f"kubernetes_secrets.{unit.service.name}.name"
    return object_named(place, given.get("name")) if given else f"{unit.name}-{SECRETS}"


def _key(unit: Unit, name: str) -> str:
    return _existing(unit).get("keys", {}).get(name, name)


def _secret(unit: Unit, values: dict[str, str]) -> dict:
    data = {name: _base64(value.encode()) for name, value in values.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": unit.meta(_secret_name(unit)),
        "type": "Opaque",
        "data": data,
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _check_key(unit: Unit, kind: str, name: object) -> None:
    if not isinstance(name, str) or not _KEY.fullmatch(name):
        raise KubernetesError(
            f"{unit.place}: {kind} has {name!r}",
            "letters, digits, '-', '_' and '.': it is a key of an object",
            "rename it",
        )
