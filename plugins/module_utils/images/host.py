# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The images of one host: what is there, what is missing, and getting it from the first source."""

from __future__ import annotations

import os
import platform
import shutil
import tarfile
import time

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.common.progress import Progress
from ansible_collections.intranet.mcp.plugins.module_utils.images import bundle, manifest, sources
from ansible_collections.intranet.mcp.plugins.module_utils.images.archive import (
    CommandError,
    Engine,
    Runner,
    has_program,
)
from ansible_collections.intranet.mcp.plugins.module_utils.images.build import Builder
from ansible_collections.intranet.mcp.plugins.module_utils.images.pull import Puller
from ansible_collections.intranet.mcp.plugins.module_utils.images.record import Record

ACTIONS = {"bundle": "loaded", "registry": "pulled", "build": "built"}


class Images:
    """What one host has and gets. params: the options of intranet.mcp.image."""

    def __init__(self, params: dict) -> None:
        self.params = params
        self.manifest = params["manifest"]
        self.references = manifest.references(self.manifest)
        self.report = Progress(params["progress_file"]).line
        self.engine = Engine(Runner(self.report, params["build_timeout"]))
        self.logs = os.path.join(params["work_path"], "logs")
        self.bundle = bundle.Bundle(params["bundle_path"])
        self.record = Record(params["record_path"])
        self.puller = Puller(self.engine, params["registry_logins"])
        self.done: dict[str, dict] = {}
        self.tried: dict[str, dict[str, str]] = {}
        self.tails: dict[str, list[str]] = {}

    def read(self) -> dict:
        """Return {name: facts} of what is there, whatever its recipe."""
        names = manifest.build_order(self.manifest, self.params["names"])
        found = self.engine.inspect([self.references[name] for name in names])
        return {
            name: found[self.references[name]] for name in names if self.references[name] in found
        }

    def missing(self, present: dict) -> list[str]:
        """Return the wanted images that are not there, or not what was asked for."""
        return [
            name
            for name in self.params["names"]
            if name in self.params["force"] or not self._is_current(name, present.get(name))
        ]

    def better(self, present: dict) -> dict[str, list[str]]:
        """Return places of registries, added since, that come before what an image came from."""
        missing = self.missing(present)
        places = {
            name: self._wanted(name).better(self._origin(name, present[name]))
            for name in self.params["names"]
            if name not in missing
        }
        return {name: found for name, found in places.items() if found}

    def _is_current(self, name: str, found: dict | None) -> bool:
        if not found or sources.architecture_problem(found["architecture"], platform.machine()):
            return False
        is_met = self._wanted(name).is_met(self._origin(name, found), found["digests"])
        return is_met and self._is_right(name, found) and not self._is_outdated(name, found)

    def _is_outdated(self, name: str, found: dict) -> bool:
        """Tell whether an image of an older recipe has a successor where it was pulled from."""
        origin = self._origin(name, found)
        if manifest.is_current(found, self.params["recipes"].get(name)) or not origin:
            return False
        places = [place for place in self._places(name) if place.name == origin["way"]]
        is_asked = "registry" in self.params["sources"] and origin["digest"]
        return bool(is_asked and places) and self.puller.has_other(places[0], origin["digest"])

    def _origin(self, name: str, found: dict) -> dict | None:
        return self.record.origin(self.references[name], found["id"])

    def _wanted(self, name: str) -> sources.Wanted:
        return sources.wanted(self.manifest[name], self.params["sources"], self._places(name))

    def _is_right(self, name: str, found: dict | None) -> bool:
        if manifest.is_current(found, self.params["recipes"].get(name)):
            return True
        # An older recipe is all that a site without builds can have, until its bundle is renewed.
        return (
            found is not None
            and "build" not in self.params["sources"]
            and not self._bundle_is_current(name)
        )

    def _bundle_is_current(self, name: str) -> bool:
        """Tell whether the bundle holds the image of this collection's recipe."""
        wanted = self.params["recipes"].get(name)
        entry = self.bundle.entry(self.references[name]) or {}
        is_asked = "bundle" in self.params["sources"]
        return is_asked and wanted is not None and entry.get("recipe") == wanted

    def plan(self, present: dict) -> dict:
        """Return what would be done, and what the control node must provide for it."""
        missing = self.missing(present)
        for name in missing:
            source = self._likely_source(name)
            self._record(name, source, None, 0.0)
        for name in self.better(present):
            self._record(name, "registry", present[name]["id"], 0.0)
        builds = self._builds([n for n in missing if self.done[n]["source"] == "build"], present)
        kinds = {(self.manifest[name].get("recipe") or {}).get("kind") for name in builds}
        needs_tool = "mmdebstrap" in kinds and not has_program("mmdebstrap")
        return {
            "tools_missing": ["mmdebstrap"] if needs_tool else [],
            "bundle_missing": "bundle" in self.params["sources"] and not self.bundle.is_there(),
        }

    def _likely_source(self, name: str) -> str:
        for source in self.params["sources"]:
            if source == "bundle" and self.bundle.entry(self.references[name]):
                return source
            # Upstream is often out of reach: where a build may follow, that is foretold.
            own = self.params["registry_prefix"] or self.params["registry_mirrors"]
            is_sure = own or "build" not in self.params["sources"]
            if source == "registry" and is_sure and self._places(name):
                return source
            if source == "build" and self.manifest[name].get("recipe"):
                return source
        others = [source for source in self.params["sources"] if source != "build"]
        return others[-1] if others else "build"

    def obtain(self, present: dict) -> None:
        """Get what is missing: source after source, each for what is still missing."""
        for name, places in self.better(present).items():
            self._improve(name, places, present[name])
        if self.done:
            present = self.read()
        missing = self.missing(present)
        methods = {"bundle": self._load, "registry": self._pull}
        for source in self.params["sources"]:
            if source == "build":
                self._build(missing, present)
            else:
                for name in missing:
                    self._attempt(source, name, methods[source])
            missing = [name for name in missing if name not in self.done]
        if missing:
            raise Unusable(self._failure(missing))

    def _improve(self, name: str, places: list[str], found: dict) -> None:
        """Get an image from a registry that was added; without it, what is there stays."""
        must_be_current = manifest.is_current(found, self.params["recipes"].get(name))
        self._attempt("registry", name, lambda name: self._pull(name, places, must_be_current))
        if name not in self.done:
            origin = self._origin(name, found)
            asked = [*origin["asked"], *places]
            self.record.write(self.references[name], {**origin, "asked": asked})

    def _attempt(self, source: str, name: str, method) -> None:
        started = time.monotonic()
        try:
            origin = method(name)
            found = self.engine.inspect([self.references[name]]).get(self.references[name])
            if not found:
                raise CommandError("the engine does not list it afterwards: see its log", [])
        except CommandError as error:
            reason = "; ".join([str(error), *error.tail[-1:]])
            self.tried.setdefault(name, {})[source] = reason
            return
        self.record.write(self.references[name], {"id": found["id"], **origin})
        self._record(name, source, found["id"], time.monotonic() - started)
        self.report(f"{ACTIONS[source]} {name} in {self.done[name]['seconds']:.0f} s")

    def _problem(self, name: str, facts: dict, must_be_current: bool) -> str:
        """Say why an image is not the wanted one, before it gets the platform's name.

        Whoever names it first and inspects it then has replaced the good one by what it rejects.
        """
        is_current = manifest.is_current(facts, self.params["recipes"].get(name))
        if is_current or (self._is_right(name, facts) and not must_be_current):
            return sources.architecture_problem(facts["architecture"], platform.machine())
        return (
            "its image is of another recipe than this collection's: push or export the one of "
            "this version"
        )

    def _load(self, name: str) -> dict:
        wanted = self._wanted(name)
        if self.bundle.entry(self.references[name]):
            self._require_digest(name, wanted.digest)
        archive, entry = self.bundle.archive(self.references[name])
        if problem := self._problem(name, entry, must_be_current=False):
            raise CommandError(problem, [])
        self.engine.load(f"load {name}", archive, self.log("load", name))
        digest = entry.get("digest", "")
        return {"way": "bundle", "digest": digest, "asked": wanted.before("bundle")}

    def _require_digest(self, name: str, expected: str) -> None:
        """Raise unless the bundle declares the digest that is pinned."""
        found = self.bundle.entry(self.references[name]).get("digest", "")
        if expected and found != expected:
            raise CommandError(
                f"the bundle holds {found or 'it without a digest'}; expected {expected}: export "
                "it on a host that pulled that, or correct digest in image_extra",
                [],
            )

    def _pull(self, name: str, among: list[str] | None = None, must_be_current=False) -> dict:
        places = [place for place in self._places(name) if not among or place.name in among]
        if not places:
            raise CommandError(
                "no registry holds it (neither image_registry_prefix nor image_registry_mirrors "
                "says where)",
                [],
            )
        place, digest = self.puller.pull(
            f"pull {name}",
            places,
            self.references[name],
            self.log("pull", name),
            lambda facts: self._problem(name, facts, must_be_current),
        )
        asked = self._wanted(name).before(place.name)
        return {"way": place.name, "digest": digest, "asked": asked}

    def _places(self, name: str) -> list[sources.Place]:
        params = self.params
        return sources.places(
            name,
            self.manifest[name],
            params["registry_prefix"],
            params["registry_mirrors"],
            params["registry_upstream"],
        )

    def _builds(self, names: list[str], present: dict) -> list[str]:
        kept = {key: value for key, value in present.items() if key not in self.params["force"]}
        return manifest.to_build(self.manifest, names, kept, self.params["recipes"])

    def _build(self, missing: list[str], present: dict) -> None:
        names = [name for name in missing if self.manifest[name].get("recipe")]
        for name in set(missing) - set(names):
            self.tried.setdefault(name, {})["build"] = "it has no recipe"
        if not names:
            return
        directory = os.path.join(self.params["work_path"], "contexts")
        options = {
            "contexts": directory,
            "logs": self.logs,
            "jobs": max(1, self.params["jobs"]),
            "mirrors": self.params["mirrors"],
            "ca_bundle": self.params["ca_bundle"] or "",
            "recipes": self.params["recipes"],
        }
        builder = Builder(self.engine, self.manifest, options, self.report)
        try:
            self._unpack(directory)
            builder.build_all(self._builds(names, present))
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        found = self.engine.inspect([self.references[name] for name in builder.built])
        for name, seconds in builder.built.items():
            reference, asked = self.references[name], self._wanted(name).before("build")
            origin = {"id": found[reference]["id"], "way": "build", "digest": "", "asked": asked}
            self.record.write(reference, origin)
            self._record(name, "build", origin["id"], seconds)
        for name, error in builder.failed.items():
            self.tried.setdefault(name, {})["build"] = f"{error} (log: {builder.log_of(name)})"
            self.tails[name] = error.tail

    def _unpack(self, directory: str) -> None:
        """Lay out the contexts that the control node sent."""
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        if not self.params["contexts"]:
            raise Unusable(
                "no build contexts were sent; expected them from the action plugin of "
                "intranet.mcp.image: call the module by this name, not by a copy"
            )
        # Debian 12's Python knows no filters yet; the archive is the control node's own.
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        with tarfile.open(self.params["contexts"]) as archive:
            archive.extractall(directory, **options)  # noqa: S202

    def _record(self, name: str, source: str, image_id: str | None, seconds: float) -> None:
        self.done[name] = {
            "action": ACTIONS[source],
            "source": source,
            "reference": self.references[name],
            "id": image_id,
            "seconds": round(seconds, 1),
            "tried": self.tried.get(name, {}),
        }

    def log(self, verb: str, name: str) -> str:
        """The file that has what a program said about an image."""
        return os.path.join(self.logs, f"{verb}-{name}.log")

    def _failure(self, missing: list[str]) -> str:
        lines = []
        for name in missing:
            reasons = "; ".join(f"{s}: {r}" for s, r in self.tried.get(name, {}).items())
            lines.append(f"image {name} ({self.references[name]}) is not to be had: {reasons}.")
        causes = [name for name, tail in self.tails.items() if tail]
        for name in causes[:1]:
            lines += [f"End of the build of {name}:", *self.tails[name]]
        expected = " or ".join(self.params["sources"])
        lines.append(
            f"Expected one of the sources to work ({expected}): make the mirrors or the registry "
            "reachable (image_apt_mirror, image_pip_index_url, image_npm_registry, image_go_proxy, "
            "image_registry_prefix, image_registry_mirrors), or put the image into "
            "image_bundle_path; then run again."
        )
        return "\n".join(lines)
