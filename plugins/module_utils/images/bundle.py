# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A bundle: a directory with one archive an image and an index.

index.json: {"images": {REFERENCE: {"id", "archive", "recipe", "bytes", "sha256", "architecture",
"digest"}}}; digest is that of the registry an image came from. An archive is named after the
image's content, so the same image is never written twice, and a bundle may be read while it is
renewed. It may come from elsewhere: no path of the index leads out of it, and before an archive is
loaded its digest is compared, and what it would name is read: loading names everything in it. An
archive does not carry a registry's digest, so for that the index is believed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import posixpath
import re
import tarfile

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest, sources
from ansible_collections.intranet.mcp.plugins.module_utils.images.archive import CommandError

INDEX = "index.json"
IMAGES = "images"
_ID = re.compile(r"sha256:([0-9A-Za-z]+)")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Bundle:
    """Reads a bundle; one that is not there is empty."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.images = self._read() if path else {}

    def __repr__(self) -> str:
        return f"Bundle({self.path!r}, {len(self.images)} images)"

    def _read(self) -> dict:
        path = os.path.join(self.path, INDEX)
        try:
            with open(path, encoding="utf-8") as stream:
                images = json.load(stream)["images"]
            for reference, entry in images.items():
                _check(reference, entry)
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unusable(
                f"{path} is no index of a bundle ({error}); expected JSON with 'images': export "
                "the bundle again"
            ) from error
        return images

    def is_there(self) -> bool:
        """Tell whether there is anything to load from."""
        return bool(self.images)

    def entry(self, reference: str) -> dict | None:
        return self.images.get(reference)

    def archive(self, reference: str) -> tuple[str, dict]:
        """Return the archive of an image and its entry, with the recipe the image itself names."""
        path, entry = self.checked(reference)
        problem = sources.architecture_problem(entry["architecture"], platform.machine())
        if problem:
            raise CommandError(problem, [])
        return path, entry

    def checked(self, reference: str) -> tuple[str, dict]:
        """The same of an archive that is for another host, whatever its architecture."""
        if not self.path:
            raise CommandError("no bundle is given (image_bundle_path is not set)", [])
        if not self.images:
            raise CommandError(f"no bundle at {self.path}", [])
        entry = self.images.get(reference)
        if not entry:
            raise CommandError(f"the bundle at {self.path} does not hold it", [])
        path = os.path.join(self.path, entry["archive"])
        refuse_links(self.path, path)
        size = os.path.getsize(path) if os.path.isfile(path) else None
        if size != entry["bytes"]:
            raise CommandError(
                f"{path} is {'missing' if size is None else f'{size} bytes long'}; "
                f"expected {entry['bytes']} bytes",
                [],
            )
        _compare(path, entry)
        found = described(path, reference)
        architecture = found["architecture"] or entry.get("architecture")
        return path, {**entry, "recipe": found["recipe"], "architecture": architecture}


def contents(path: str | None) -> dict[str, dict] | None:
    """Return {reference: {architecture, digest}}, empty where unknown; None without a bundle."""
    if not path or not os.path.isfile(os.path.join(path, INDEX)):
        return None
    return {
        reference: {key: entry.get(key) or "" for key in ("architecture", "digest")}
        for reference, entry in Bundle(path).images.items()
    }


def archive_name(image_id: str) -> str:
    """Return the path in a bundle of an image's archive, or raise ValueError."""
    found = _ID.fullmatch(image_id)
    if not found:
        raise ValueError(f"{image_id!r} is no id of an image")
    return f"{IMAGES}/{found[1]}.tar"


def _check(reference: str, entry: dict) -> None:
    """Raise ValueError, KeyError or TypeError unless an entry is one."""
    expected = archive_name(entry["id"])
    if entry.get("archive") != expected:
        found = entry.get("archive")
        raise ValueError(f"{reference}: found the archive {found!r}, expected {expected}")
    if not isinstance(entry["bytes"], int) or isinstance(entry["bytes"], bool):
        raise ValueError(f"{reference}: found {entry['bytes']!r} bytes, expected a number")
    # Bundles of older versions have none of the rest.
    if not isinstance(entry.get("architecture", ""), str):
        raise ValueError(f"{reference}: found {entry['architecture']!r}, expected an architecture")
    if entry.get("digest") and not _ID.fullmatch(entry["digest"]):
        raise ValueError(f"{reference}: found {entry['digest']!r}, expected a digest")
    if "sha256" in entry and not _DIGEST.fullmatch(entry["sha256"]):
        raise ValueError(f"{reference}: found {entry['sha256']!r}, expected a sha256")


def refuse_links(root: str, path: str) -> None:
    """Raise CommandError where a path of a bundle leads elsewhere."""
    for place in (os.path.join(root, IMAGES), path):
        if os.path.islink(place):
            raise CommandError(f"{place} is a link; expected the archive itself", [])


def described(path: str, reference: str) -> dict:
    """Return architecture and recipe of the one image in an archive, by the archive itself.

    Raises CommandError unless loading it gives this reference and names nothing else.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            read = _Members(archive)
            names, (image,) = _named(read), read("manifest.json")
            config = read(image["Config"])
            labels = (config.get("config") or {}).get("Labels") or {}
    except (tarfile.TarError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CommandError(
            f"{path} is no archive of an image ({error}); expected what docker save writes: "
            "export the bundle again",
            [],
        ) from error
    if names != [sources.parse(reference)]:
        found = ", ".join(map(str, names)) or "nothing"
        raise CommandError(
            f"{path} names {found}; expected {reference} alone: export the bundle again", []
        )
    return {"architecture": config.get("architecture"), "recipe": labels.get(manifest.LABEL_RECIPE)}


class _Members:
    """Reads JSON out of an archive as the engine finds it, which unpacks it: the last one wins."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self.archive = archive
        self.members = {posixpath.normpath(one.name): one for one in archive.getmembers()}

    def __call__(self, name: str):
        return json.load(self.archive.extractfile(self.members[name]))

    def __contains__(self, name: str) -> bool:
        return name in self.members


def _named(read: _Members) -> list[sources.Place]:
    """Return every reference that loading an archive would set.

    Engines with containerd's image store go by index.json, all others by manifest.json.
    """
    found = [tag for image in read("manifest.json") for tag in image.get("RepoTags") or []]
    if "index.json" in read:
        for entry in read("index.json").get("manifests") or []:
            tag = (entry.get("annotations") or {}).get("io.containerd.image.name")
            found += [tag] if tag else []
    return list(dict.fromkeys(sources.parse(tag) for tag in found))


def _compare(path: str, entry: dict) -> None:
    wanted = entry.get("sha256")
    found = _digest(path) if wanted else None
    if found != wanted:
        raise CommandError(
            f"{path} has sha256 {found}; expected {wanted}: copy the bundle again from where it "
            "was exported",
            [],
        )


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def export(images, check_mode: bool) -> dict:
    """Write the wanted images, as they are on the host, and the index."""
    path = images.params["bundle_path"]
    found = images.read()
    absent = [name for name in images.params["names"] if name not in found]
    if absent:
        raise Unusable(
            f"images {', '.join(absent)} are not on this host; expected all that are exported: "
            "have them with state=present first"
        )
    bundle = Bundle(path)
    changed = []
    for name in images.params["names"]:
        reference = images.references[name]
        said = _described(images, reference, found[name])
        if not _is_written(bundle, reference, said):
            changed.append(name)
    if changed and not check_mode:
        _write(images, bundle, found, changed)
    results = {
        name: {
            "action": "exported" if name in changed else "present",
            "source": "host",
            "reference": images.references[name],
            "id": found[name]["id"],
            "seconds": 0.0,
            "tried": {},
        }
        for name in images.params["names"]
    }
    return {"changed": bool(changed), "images": results}


def _described(images, reference: str, facts: dict) -> dict:
    """Return what the index says of an image, but for its archive."""
    said = {
        "id": facts["id"],
        "recipe": facts["recipe"],
        "architecture": facts["architecture"] or "",
    }
    digest = (images.record.origin(reference, facts["id"]) or {}).get("digest")
    return {**said, "digest": digest} if digest else said


def _is_written(bundle: Bundle, reference: str, said: dict) -> bool:
    entry = bundle.entry(reference) or {}
    return _has_archive(bundle, entry) and {**entry, **said} == entry


def _has_archive(bundle: Bundle, entry: dict) -> bool:
    if "sha256" not in entry:
        return False
    path = os.path.join(bundle.path, entry["archive"])
    return os.path.isfile(path) and os.path.getsize(path) == entry["bytes"]


def _write(images, bundle: Bundle, found: dict, names: list[str]) -> None:
    os.makedirs(os.path.join(bundle.path, IMAGES), exist_ok=True)
    refuse_links(bundle.path, os.path.join(bundle.path, INDEX))
    index = dict(bundle.images)
    for name in names:
        reference = images.references[name]
        said = _described(images, reference, found[name])
        entry = bundle.entry(reference) or {}
        # What an older index does not say is added without writing gigabytes again.
        if entry.get("id") == said["id"] and _has_archive(bundle, entry):
            index[reference] = {**entry, **said}
        else:
            index[reference] = {**said, **_saved(images, bundle, name, said["id"])}
        _write_index(bundle.path, index)
        images.report(f"exported {name}")
    _prune(bundle.path, index)


def _saved(images, bundle: Bundle, name: str, image_id: str) -> dict:
    """Write an archive and return what the index says of it."""
    archive = archive_name(image_id)
    target = os.path.join(bundle.path, archive)
    partial = f"{target}.part"
    try:
        log = os.path.join(images.logs, f"save-{name}.log")
        images.engine.save(f"export {name}", images.references[name], partial, log)
        os.replace(partial, target)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
    return {"archive": archive, "bytes": os.path.getsize(target), "sha256": _digest(target)}


def _write_index(path: str, images: dict) -> None:
    partial = os.path.join(path, f"{INDEX}.part")
    with open(partial, "w", encoding="utf-8") as stream:
        json.dump({"images": images}, stream, indent=2, sort_keys=True)
        stream.write("\n")
    os.replace(partial, os.path.join(path, INDEX))


def _prune(path: str, images: dict) -> None:
    """Remove archives that no image of the index is in any more."""
    wanted = {entry["archive"] for entry in images.values()}
    for name in os.listdir(os.path.join(path, IMAGES)):
        if f"{IMAGES}/{name}" not in wanted:
            os.remove(os.path.join(path, IMAGES, name))
