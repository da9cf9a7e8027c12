# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Images as data: names, recipe hashes, what has to be built in which order. Never I/O."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

LABEL_RECIPE = "intranet.mcp.recipe"
REPOSITORY = "intranet-mcp"
SOURCES = ("bundle", "registry", "build")

# What no image needs, whatever the context.
IGNORED = (
    "__pycache__",
    "*.pyc",
    ".venv",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    "*.egg-info",
    ".git",
)

# Keys of a recipe that do not change what comes out of it.
UNHASHED = ("context", "dockerfile", "ignore", "seconds")

_LEGACY_STEP = re.compile(r"^Step (\d+)/(\d+) : (.*)")
_BUILDKIT_STEP = re.compile(r"^#\d+ \[(?:\S+ )?(\d+)/(\d+)\] (.*)")

# What tool servers are made from and what goes beside them, whoever's image that is.
SHARED = ("tool-base", "tool-bridge")


def reference(name: str, version: str) -> str:
    """Return the name an image has on every host, wherever it came from."""
    return f"{REPOSITORY}/{name}:{version}"


def references(manifest: dict) -> dict[str, str]:
    """Return the local name of every image of the manifest."""
    if unknown := [name for name, entry in manifest.items() if not entry.get("version")]:
        raise Unusable(
            f"image_extra.{unknown[0]} has no version, and no image here is called so; "
            "expected one that is, such as tool-NAME of a server in mcp_servers: correct its name, "
            "or remove it"
        )
    return {name: reference(name, entry["version"]) for name, entry in manifest.items()}


def manifest_of_servers(servers: dict, known: Iterable[str]) -> dict:
    """Entries for MCP servers that are packages (`pip`, `npm`) or images of the site's own.

    known: names of the manifest, which `image` may name instead.
    """
    entries = {}
    for name, server in servers.items():
        _check_name(name, server, servers)
        for kind in ("npm", "pip"):
            if server.get(kind):
                entries[f"tool-{name}"] = _packaged(name, kind, server[kind])
        if is_reference(server.get("image")):
            entries[f"tool-{name}"] = _named(name, server["image"])
        elif server.get("image") and server["image"] not in known:
            raise Unusable(
                f"mcp_servers.{name}.image is {server['image']!r}; expected a full reference "
                "such as 'registry.example.internal/acme/tickets:2.1.0', or a name of the manifest "
                f"({', '.join(sorted(known))})"
            )
    return entries


def _check_name(name: str, server: dict, servers: dict) -> None:
    """Refuse a server whose own image would take the place of one that others run."""
    image = f"tool-{name}"
    if server.get("url") or image_of_server(name, server) == server.get("image"):
        return
    users = [other for other, entry in servers.items() if entry.get("image") == image]
    if users or image in SHARED:
        who = ", ".join(f"mcp_servers.{user}" for user in users) or "every tool server"
        raise Unusable(
            f"mcp_servers.{name}: its image is called {image!r}, which {who} would run; expected "
            "an image for itself alone: give the server another name"
        )


def image_of_server(name: str, server: dict) -> str:
    """Return the name in the manifest of the image an MCP server runs from."""
    image = server.get("image")
    return f"tool-{name}" if not image or is_reference(image) else image


def is_reference(image: str | None) -> bool:
    """Tell whether an image of an MCP server is the site's own, and not one of the manifest."""
    return bool(image) and any(mark in image for mark in "/:@")


def _named(name: str, reference: str) -> dict:
    """An entry that is asked for whatever image_registry_upstream says: the site named it."""
    place, _at, digest = reference.partition("@")
    tag = place.rpartition("/")[2].partition(":")[2]
    if not tag and not digest:
        raise Unusable(
            f"mcp_servers.{name}.image is {reference!r}; expected a tag or a digest at its end: "
            "everything is pinned"
        )
    version = tag or digest.partition(":")[2][:12]
    why = f"mcp_servers.{name}.image"
    # No recipe: a built-in server of this name may have one.
    entry = {"version": version, "upstream": place, "why": why, "named": True, "recipe": None}
    return {**entry, "digest": digest} if digest else entry


def _packaged(name: str, kind: str, package: str) -> dict:
    separator = "==" if kind == "pip" else "@"
    # A scoped npm name starts with the separator of its version.
    version = package[1:].partition(separator)[2].strip()
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_.+-]{0,100}", version):
        example = "my-server==1.0.0" if kind == "pip" else "@scope/server@1.0.0"
        raise Unusable(
            f"mcp_servers.{name}.{kind} is {package!r}; expected an exact version such as "
            f"{example!r}: everything is pinned, nothing is fetched when a container starts"
        )
    return {
        "version": version.replace("+", "_"),
        "upstream": None,
        "why": f"mcp_servers.{name}.{kind}",
        "recipe": {
            "context": f"roles/image/files/tool-{kind}",
            "needs": ["tool-base", "gateway"],
            "args": {"PACKAGE": package},
        },
    }


def names_of_servers(servers: dict) -> list[str]:
    """Return the images of the MCP servers that run here."""
    return sorted(
        image_of_server(name, server) for name, server in servers.items() if not server.get("url")
    )


def foreign_of_servers(servers: dict, manifest: dict) -> list[str]:
    """Return the images of MCP servers here that have no bridge in them: others made them, or they
    listen themselves."""
    return sorted(
        {
            name
            for server, entry in servers.items()
            if not entry.get("url")
            and (name := image_of_server(server, entry)) in manifest
            and (entry.get("http_path") or not manifest[name].get("recipe"))
        }
    )


def is_ignored(path: str, patterns: list[str] | tuple[str, ...] = ()) -> bool:
    """Tell whether a file (path relative to its context) stays out of it."""
    parts = path.split("/")
    if any(fnmatch.fnmatch(part, pattern) for part in parts for pattern in IGNORED):
        return True
    prefixes = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return any(fnmatch.fnmatch(prefix, pattern) for prefix in prefixes for pattern in patterns)


def recipe_hash(entry: dict, files: dict[str, tuple[bool, bytes]], needs: list[str]) -> str:
    """Return what tells one recipe from another.

    files: path -> (executable, content). needs: hashes of the images it is made from. Mirrors and
    certificates are not part of it: they change where packages come from, not which.
    """
    recipe = {key: value for key, value in entry["recipe"].items() if key not in UNHASHED}
    digest = hashlib.sha256(json.dumps([entry["version"], recipe, needs], sort_keys=True).encode())
    for path in sorted(files):
        is_executable, content = files[path]
        line = f"{path} {int(is_executable)} {hashlib.sha256(content).hexdigest()}\n"
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def check(manifest: dict, names: list[str]) -> None:
    """Raise Unusable unless every name, and whatever it needs, is in the manifest."""
    for name in names:
        if name not in manifest:
            raise Unusable(
                f"no image is called {name!r}; expected one of {', '.join(sorted(manifest))}: "
                "correct the name or add an entry to image_extra"
            )
    for name in names:
        build_order(manifest, [name])


def needs_of(manifest: dict, name: str) -> list[str]:
    """Return the images an image is made from."""
    return (manifest[name].get("recipe") or {}).get("needs") or []


def build_order(manifest: dict, names: list[str]) -> list[str]:
    """Return names and all they are made from, each after what it needs."""
    order: list[str] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name in path:
            cycle = " -> ".join([*path[path.index(name) :], name])
            raise Unusable(f"images need each other in a circle: {cycle}; expected an end")
        if name not in manifest:
            raise Unusable(
                f"image {path[-1]!r} needs {name!r}, which the manifest lacks: add it or correct "
                "recipe.needs"
            )
        if name in order:
            return
        path.append(name)
        for need in needs_of(manifest, name):
            visit(need)
        path.pop()
        order.append(name)

    for name in names:
        visit(name)
    return order


def hashes_of_needs(manifest: dict, name: str, hashes: dict[str, str]) -> list[str]:
    """Return what the hash of a recipe takes from the images it is made from.

    An image that only compiled something (recipe.contains_needs is false) holds nothing of them:
    their version counts, and a new base does not compile for minutes what comes out the same.
    """
    names = references(manifest)
    contains = manifest[name]["recipe"].get("contains_needs", True)
    return [hashes[need] if contains else names[need] for need in needs_of(manifest, name)]


def is_current(found: dict | None, recipe: str | None) -> bool:
    """Tell whether an image that is there is the wanted one.

    found: {recipe: label or None}. Without the label it came from elsewhere under the right
    version, which is all that can be asked of it.
    """
    return found is not None and found.get("recipe") in (None, recipe)


def to_build(manifest: dict, names: list[str], present: dict, recipes: dict) -> list[str]:
    """Return what to build so that `names` exist: missing ones and what they are made from.

    What an image is made from is checked only while that image itself is missing. It must be of
    its recipe, which other recipes build upon: a publisher's image under its name will not do.
    """
    wanted: list[str] = []

    def visit(name: str) -> None:
        if name in wanted:
            return
        for need in needs_of(manifest, name):
            if (present.get(need) or {}).get("recipe") != recipes[need]:
                visit(need)
        wanted.append(name)

    for name in names:
        visit(name)
    return wanted


def by_urgency(manifest: dict, names: list[str]) -> list[str]:
    """Return names, first the ones on which the longest work hangs (recipe.seconds)."""

    def length(name: str) -> float:
        own = (manifest[name].get("recipe") or {}).get("seconds", 10)
        after = [length(other) for other in names if name in needs_of(manifest, other)]
        return own + max(after, default=0)

    return sorted(names, key=length, reverse=True)


def ready(manifest: dict, waiting: list[str], building: set[str], failed: set[str]) -> list[str]:
    """Return those of `waiting` whose needs are neither waiting, nor being built, nor failed."""
    blocked = set(waiting) | building | failed
    return [name for name in waiting if not blocked & (set(needs_of(manifest, name)) - {name})]


def build_step(line: str) -> tuple[int, int, str] | None:
    """Return (step, of, instruction) when a line of a build's output starts one."""
    match = _LEGACY_STEP.match(line) or _BUILDKIT_STEP.match(line)
    if not match:
        return None
    return int(match.group(1)), int(match.group(2)), " ".join(match.group(3).split())[:60]


def debian_mirrors(sources: str) -> tuple[str, str]:
    """Return the mirrors of Debian and of its security updates that apt's sources name.

    sources: the text of sources.list and sources.list.d, one-line or deb822. Empty where none is
    named: an Ubuntu host builds Debian images only from a mirror that is set.
    """
    entries = [(match["uri"], match["suite"]) for match in _ONE_LINE_SOURCE.finditer(sources)]
    for stanza in re.split(r"\n\s*\n", sources):
        uris, suites = _URIS.search(stanza), _SUITES.search(stanza)
        if uris and suites and not re.search(r"^Enabled:\s*no", stanza, re.M):
            entries += [(uris[1].split()[0], suite) for suite in suites[1].split()]
    main = [uri for uri, suite in entries if uri.rstrip("/").endswith("/debian")]
    security = [uri for uri, suite in entries if suite.endswith("-security")]
    return (main or [""])[0].rstrip("/"), (security or [""])[0].rstrip("/")


_ONE_LINE_SOURCE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s", re.M)
_URIS = re.compile(r"^URIs:\s*(\S.*)$", re.M)
_SUITES = re.compile(r"^Suites:\s*(\S.*)$", re.M)
