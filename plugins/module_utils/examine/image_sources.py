# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether there is a source for each image that a host lacks. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.images.sources import architecture_of

OURS = "intranet-mcp/"


def missing_images(wanted: list[str], tags: set[str]) -> list[str]:
    """Images the host lacks. Without a list, any image of ours means that they are there."""
    if wanted:
        return [image for image in wanted if image not in tags]
    return [] if any(tag.startswith(OURS) for tag in tags) else [f"{OURS}*"]


def image_problems(
    missing: list[str],
    ways: list[dict],
    failures: dict[str, str],
    wanted: dict[str, dict],
    machine: str = "",
) -> list[Finding]:
    """Images that no source gives to a host of this architecture.

    ways: {name, urls, path, holds} beside registries; holds: image -> {architecture, digest}, of a
    bundle. failures: address, path or place of a registry -> why. wanted: image -> {ways, places,
    digest}. What a way of the site's own holds is not known here: one that works is enough.
    """
    broken = {way["name"]: _failed(way, failures) for way in ways}
    works = {name for name, failed in broken.items() if not failed}
    bundles = {way["name"]: way["holds"] for way in ways if way.get("holds") is not None}
    if works - {"build", *bundles} or not (ways or wanted):
        return []
    causes: dict[tuple[str, ...], list[str]] = {}
    for image in missing:
        said = wanted.get(image, {"places": [], "ways": ["build"]})
        is_built = "build" in said["ways"]
        wants = {"architecture": architecture_of(machine), "digest": said.get("digest")}
        reasons = [_lack(name, image, holds, wants) for name, holds in bundles.items()]
        reasons += [failures.get(place, "") for place in said["places"]]
        if not all(reasons) or (is_built and "build" in works):
            continue
        reasons += [f"{name}: {why}" for name, why in broken.items() if why and name != "build"]
        reasons.append(_no_build(broken, is_built))
        causes.setdefault(tuple(filter(None, dict.fromkeys(reasons))), []).append(image)
    return [_problem(images, reasons) for reasons, images in causes.items()]


def _problem(images: list[str], reasons: tuple[str, ...]) -> Finding:
    return Finding(
        "sources",
        f"images are missing ({', '.join(images)}) and no source has them: "
        + ("; ".join(reasons) or "none is set"),
        "one that has them",
        "push them there, correct image_registry_mirrors, image_registry_prefix or the "
        "package mirrors, bring a bundle (image_bundle_path), or set "
        "image_registry_upstream: true where the internet is reached",
    )


def _failed(way: dict, failures: dict[str, str]) -> str:
    needed = [*(way.get("urls") or []), *([way["path"]] if way.get("path") else [])]
    return ", ".join(f"{place} ({failures[place]})" for place in needed if place in failures)


def _lack(name: str, image: str, holds: dict[str, dict], wants: dict) -> str:
    if image == f"{OURS}*":
        return ""
    if image not in holds:
        return f"the {name} does not hold it"
    found = holds[image]
    if wants["digest"] and found["digest"] != wants["digest"]:
        declared = found["digest"] or "no digest"
        return f"the {name} declares {declared} of it, pinned is {wants['digest']}"
    is_fit = not (found["architecture"] and wants["architecture"])
    if is_fit or found["architecture"] == wants["architecture"]:
        return ""
    return f"the {name} holds it for {found['architecture']}, this host is {wants['architecture']}"


def _no_build(broken: dict[str, str], is_built: bool) -> str:
    if "build" not in broken:
        return ""
    if not is_built:
        return "cannot be built, only fetched"
    return f"build: {broken['build']}"
