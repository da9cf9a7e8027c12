# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pushes images of this host to the site's registry, where others pull them by their digest.

What was pushed is recorded by its place, so that the same image is not sent again while the
registry has it.
"""

from __future__ import annotations

import time
from dataclasses import replace

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import registry_login, sources
from ansible_collections.intranet.mcp.plugins.module_utils.images.archive import CommandError
from ansible_collections.intranet.mcp.plugins.module_utils.images.registry import (
    Registries,
    RegistryError,
)

WAY = "pushed"


def push(images, check_mode: bool) -> dict:
    """Have the wanted images, as they are on this host, in the registry."""
    found = images.read()
    names = images.params["names"]
    absent = [name for name in names if name not in found]
    if absent and not check_mode:  # there they are yet to be made
        raise Unusable(
            f"images {', '.join(absent)} are not on this host; expected all that are pushed: "
            "have them with state=present first"
        )
    places = {name: _place(images, name) for name in names}
    unknown = {"id": ""}
    results = {
        name: _pushed(images, name, places[name], found.get(name, unknown), check_mode)
        for name in names
    }
    is_changed = any(result["action"] == WAY for result in results.values())
    return {"changed": is_changed, "images": results}


def _place(images, name: str) -> sources.Place:
    """Where the site's hosts and nodes pull it."""
    params = images.params
    entry = images.manifest[name]
    found = sources.places(name, entry, params["registry_prefix"], {}, upstream=False)
    if not (entry.get("mirror") or params["registry_prefix"]):
        raise Unusable(
            f"image {name} has no place: image_registry_prefix is empty; expected the site's "
            "registry, such as registry.example.internal/platform: set it"
        )
    return replace(found[0], digest="")


def _pushed(images, name: str, place: sources.Place, facts: dict, check_mode: bool) -> dict:
    started = time.monotonic()
    known = images.record.origin(place.name, facts["id"]) or {}
    result = {
        "action": "present",
        "source": "host",
        "reference": place.name,
        "id": facts["id"],
        "digest": known.get("digest", ""),
        "seconds": 0.0,
        "tried": {},
    }
    if known and _digest(images, place) == known["digest"]:
        return result
    digest = "" if check_mode else _push(images, name, place)
    seconds = round(time.monotonic() - started, 1)
    if digest:
        entry = {"id": facts["id"], "way": WAY, "digest": digest, "asked": []}
        images.record.write(place.name, entry)
    return {**result, "action": WAY, "digest": digest, "seconds": seconds}


def _digest(images, place: sources.Place) -> str:
    """What the registry has there now; nothing where it does not say."""
    try:
        return Registries(images.params["registry_logins"]).digest(place)
    except RegistryError:
        return ""  # pushing says why, if that fails, too


def _push(images, name: str, place: sources.Place) -> str:
    engine, log = images.engine, images.log("push", name)
    was_there = engine.facts(place.name) is not None
    engine.tag(images.references[name], place.name)
    try:
        with registry_login.environment(images.params["registry_logins"]) as variables:
            engine.push(f"{name}: push", place.name, log, variables)
        pushed = engine.facts(place.name) or {"digests": []}
        if digest := sources.digest_at(place, pushed["digests"]) or _digest(images, place):
            return digest
        raise Unusable(
            f"{place.name} was pushed, and neither the engine nor the registry says its digest; "
            f"expected one: see {log}"
        )
    except CommandError as error:
        raise Unusable(
            f"{place.name} is not pushed ({(error.tail or [str(error)])[-1]}); expected a registry "
            f"that takes it: correct docker_registry_logins or image_registry_prefix, see {log}"
        ) from error
    finally:
        # The platform's own name keeps the image; another one would keep it for ever.
        if not was_there:
            engine.remove(place.name)
