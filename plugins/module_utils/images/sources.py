# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where images may come from, and whether one that is there came from such a place. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest as images

DOCKER_HUB = "docker.io"
# The kernel's names of architectures -> those of images, where they differ.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True)
class Place:
    """A reference at a registry. With a digest the tag is only what people call it."""

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.registry}/{self.path}"

    @property
    def name(self) -> str:
        """What tells one place from another, whatever content is wanted there."""
        return f"{self.repository}:{self.tag}" if self.tag else self.repository

    @property
    def full(self) -> str:
        """Tag and digest, as `parse` reads them."""
        return f"{self.name}@{self.digest}" if self.digest else self.name

    def __str__(self) -> str:
        """What the engine is told to pull."""
        return f"{self.repository}@{self.digest}" if self.digest else self.name

    def at(self, mirror: str) -> Place:
        """Return the same image below a mirror (`harbor.example/dockerhub`)."""
        registry, _slash, path = mirror.strip("/").partition("/")
        return replace(self, registry=registry, path=f"{path}/{self.path}" if path else self.path)


def parse(reference: str, digest: str = "") -> Place:
    """Read a reference as the engine does: Docker Hub and its `library/` may be left out."""
    rest, _at, own_digest = reference.partition("@")
    first, slash, path = rest.partition("/")
    registry, path = (first, path) if slash and _is_host(first) else (DOCKER_HUB, rest)
    if registry == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    path, _colon, tag = path.partition(":")
    digest = own_digest or digest
    return Place(registry, path, tag or ("" if digest else "latest"), digest)


def _is_host(part: str) -> bool:
    return "." in part or ":" in part or part == "localhost"


def check(prefix: str, mirrors: dict) -> None:
    """Raise Unusable unless these are what a reference begins with."""
    given = {"image_registry_prefix": prefix} if prefix else {}
    for registry, mirror in mirrors.items():
        given[f"image_registry_mirrors['{registry}']"] = mirror
        if not _is_host(registry) or "/" in registry:
            raise Unusable(
                f"image_registry_mirrors has the key {registry!r}; expected the host of a registry "
                "as references name it, such as docker.io or ghcr.io"
            )
    for option, value in given.items():
        if "://" in value or not _is_host(value.partition("/")[0]):
            raise Unusable(
                f"{option} is {value!r}; expected a registry and a path, such as "
                "harbor.example.internal/dockerhub: no scheme, and a host with a dot or a port"
            )


def places(name: str, entry: dict, prefix: str, mirrors: dict, upstream: bool) -> list[Place]:
    """Return where registries may have an image, the site's own first.

    mirrors: publisher's registry -> where the site mirrors it. An entry's own `mirror` is the exact
    place and the only one.
    """
    digest = entry.get("digest") or ""
    if entry.get("mirror"):
        return [parse(entry["mirror"], digest)]
    found = []
    if prefix:
        found.append(parse(f"{prefix.rstrip('/')}/{name}:{entry['version']}", digest))
    original = publisher(entry)
    if original and mirrors.get(original.registry):
        found.append(original.at(mirrors[original.registry]))
    if original and (upstream or entry.get("named")):
        found.append(original)
    return found


def references(manifest: dict, prefix: str, mirrors: dict, upstream: bool) -> dict[str, str]:
    """Return of each image where the nodes of a cluster pull it.

    Where no registry has it, that is its local name: of an archive that was imported on each node.
    """
    check(prefix, mirrors)
    found = images.references(manifest)
    for name, entry in manifest.items():
        if in_registries := places(name, entry, prefix, mirrors, upstream):
            found[name] = in_registries[0].full
    return found


def publisher(entry: dict) -> Place | None:
    """Return where its publisher has an image."""
    upstream = entry.get("upstream")
    return parse(upstream, entry.get("digest") or "") if upstream else None


def told(
    manifest: dict, names: list[str], sources: list[str], prefix: str, mirrors: dict, upstream: bool
) -> dict[str, dict]:
    """Return of each image, by its local name, how it may come, as plain data."""
    check(prefix, mirrors)
    references = images.references(manifest)
    result = {}
    for name in names:
        entry = manifest[name]
        found = places(name, entry, prefix, mirrors, upstream) if "registry" in sources else []
        result[references[name]] = {
            **wanted(entry, sources, found).as_dict(),
            "places": [place.full for place in found],
        }
    return result


def digest_at(place: Place, digests: list[str]) -> str:
    """Return the digest of an image at a place, out of those that the engine keeps of it."""
    found = [parse(digest) for digest in digests]
    return next((one.digest for one in found if one.repository == place.repository), place.digest)


@dataclass(frozen=True)
class Wanted:
    """The ways an image may come: `bundle`, places of registries by name, `build`, in order."""

    ways: tuple[str, ...]
    digest: str = ""
    upstream: str = ""  # counts as right even where it cannot be reached at the moment

    def as_dict(self) -> dict:
        return {"ways": list(self.ways), "digest": self.digest, "upstream": self.upstream}

    def is_met(self, origin: dict | None, digests: list[str]) -> bool:
        """Tell whether an image that is there came one of these ways, with the digest.

        origin: what was recorded of it. digests: those the engine knows; an image that was loaded
        by hand or built has neither, and there is nothing to hold against it.
        """
        if not origin:
            known = {reference.rpartition("@")[2] for reference in digests}
            return not (self.digest and known) or self.digest in known
        if origin["way"] == "build":
            return not self.ways or "build" in self.ways
        if self.digest and origin["digest"] != self.digest:
            return False
        return not self.ways or origin["way"] in (*self.ways, self.upstream)

    def better(self, origin: dict | None) -> list[str]:
        """Return places of registries that come first and were not asked when it was got."""
        ways = self.ways if self.upstream in self.ways else (*self.ways, self.upstream)
        if not origin or origin["way"] not in ways:
            return []
        before = ways[: ways.index(origin["way"])]
        return [way for way in before if way not in ("bundle", "build", *origin["asked"])]

    def before(self, way: str) -> list[str]:
        """Return the places of registries that come before a way."""
        asked = self.ways[: self.ways.index(way)] if way in self.ways else self.ways
        return [place for place in asked if place not in ("bundle", "build")]


def wanted(entry: dict, sources: list[str], found: list[Place]) -> Wanted:
    """Return how an image may come, by the order of the sources."""
    ways: list[str] = []
    for source in sources:
        if source == "registry":
            ways += [place.name for place in found]
        elif source == "bundle" or entry.get("recipe"):
            ways.append(source)
    original = publisher(entry)
    return Wanted(tuple(ways), entry.get("digest") or "", original.name if original else "")


def architecture_of(machine: str) -> str:
    """Return what images call the architecture that the kernel calls `machine`."""
    return ARCHITECTURES.get(machine, machine)


def architecture_problem(found: str | None, machine: str) -> str:
    """Say in one sentence that an image is of another architecture, or nothing."""
    expected = architecture_of(machine)
    if not found or found == expected:
        return ""
    return (
        f"its image is for {found}, this host is {expected}: export the bundle on a host of that "
        "architecture, or have the registry hold the image for it"
    )
