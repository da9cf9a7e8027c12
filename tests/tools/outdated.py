#!/usr/bin/env python3
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every pin beside the newest release: `make outdated`.

Asks the registries through their own clients (pip, npm, go, mvn), so that this machine's mirrors
and credentials apply. held.yml says why a pin stays behind; preflight's rules, what may never run.
Packages of Debian are not pinned: they follow their release. Ends with 1 where a pin is behind
without a reason, is below its floor, or could not be asked for.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import support  # noqa: E402

support.make_collection_importable()

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.table import aligned  # noqa: E402
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import versions  # noqa: E402

HELD = ROOT / "tests" / "tools" / "held.yml"
IMAGES = ROOT / "roles" / "platform" / "vars" / "main" / "images.yml"
# These name one package and everything it needs: what it needs follows from it.
CLOSED_SETS = {
    "tests/conformance/requirements.txt": "mcp",
    "tests/bench/gateway/requirements-fastmcp.txt": "fastmcp",
    "tests/bench/gateway/requirements-mcp-proxy.txt": "mcp-proxy",
}
# Needs another Python than the rest, so other releases are its newest.
NEWEST_CORE = "tests/requirements-newest.txt"
LOOKUP_SECONDS = 60
LOOKUPS_AT_A_TIME = 4
_MADE = {"node_modules", "build"}
_REQUIREMENT = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)")
_RELEASE = re.compile(r"v?\d+(\.\d+)*(?:-\d+)?")


class Pin(NamedTuple):
    """One version that a file of the repository fixes."""

    registry: str  # PyPI, npm, Go or Maven
    name: str
    version: str
    place: str


class Row(NamedTuple):
    """What is said of one pin."""

    pin: Pin
    newest: str
    verdict: str
    fine: bool


def _requirements(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if match := _REQUIREMENT.match(line):
            yield match[1], match[2]


def pins_of_requirements(place: str, text: str) -> list[Pin]:
    """Return the pins of a requirements file."""
    alone = CLOSED_SETS.get(place)
    return [
        Pin("PyPI", name, version, place)
        for name, version in _requirements(text)
        if alone in (None, name)
    ]


def pins_of_pyproject(place: str, text: str) -> list[Pin]:
    """Return the pins of a package's dependencies, of its extras and of what builds it."""
    content = tomllib.loads(text)
    project = content.get("project", {})
    extras = project.get("optional-dependencies", {}).values()
    groups = [content.get("build-system", {}).get("requires", []), project.get("dependencies", [])]
    lines = [line for group in (*groups, *extras) for line in group]
    return [Pin("PyPI", name, version, place) for name, version in _requirements("\n".join(lines))]


def pins_of_npm(place: str, text: str) -> list[Pin]:
    """Return the pins of a package.json."""
    content = json.loads(text)
    wanted = {**content.get("dependencies", {}), **content.get("devDependencies", {})}
    found = []
    for name, version in wanted.items():
        alias, _, behind_it = version.removeprefix("npm:").rpartition("@")
        found.append(Pin("npm", alias or name, behind_it, place))
    return found


def pins_of_go(place: str, text: str) -> list[Pin]:
    """Return the modules that a go.mod asks for itself: direct ones and its tools."""
    required = re.findall(r"^\s*(?:require )?([\w.-]+\.\w+/\S+) (v\S+)(.*)$", text, re.M)
    tools = re.findall(r"^tool (\S+)$", text, re.M)
    return [
        Pin("Go", name, version, place)
        for name, version, comment in required
        if "indirect" not in comment or any(tool.startswith(name + "/") for tool in tools)
    ]


def pins_of_maven(place: str, text: str) -> list[Pin]:
    """Return what a pom.xml copies, and the plugin that does."""
    pinned = [e for e in ET.fromstring(text).iter() if e.tag.endswith(("artifactItem", "plugin"))]
    parts = ("{*}groupId", "{*}artifactId", "{*}version")
    found = ([str(entry.findtext(part)) for part in parts] for entry in pinned)
    return [Pin("Maven", f"{group}:{name}", version, place) for group, name, version in found]


def pins_of_images(place: str, text: str) -> list[Pin]:
    """Return what the image manifest itself fixes: Go, llama.cpp's carrier and the first model."""
    content = yaml.safe_load(text)
    recipes = [image["recipe"] or {} for image in content["image_manifest"].values()]
    versions = {name: v for recipe in recipes for name, v in recipe.get("args", {}).items()}
    packages = [artifact["package"] for artifact in content["artifact_manifest"].values()]
    return [
        Pin("Go", "golang.org/toolchain", versions["GO_VERSION"], place),
        Pin("PyPI", "llama-cpp-python", versions["LLAMA_CPP_PYTHON"], place),
        *(
            Pin("PyPI", name, version, place)
            for name, version in _requirements("\n".join(packages))
        ),
    ]


_READERS: dict[str, Callable[[str, str], list[Pin]]] = {
    "*requirements*.txt": pins_of_requirements,
    "roles/image/files/traefik/requirements.lock": pins_of_requirements,
    "*pyproject.toml": pins_of_pyproject,
    "*package.json": pins_of_npm,
    "*go.mod": pins_of_go,
    "*pom.xml": pins_of_maven,
    str(IMAGES.relative_to(ROOT)): pins_of_images,
}


def pins(root: Path) -> list[Pin]:
    """Return every pin of the repository, once a package and version."""
    found: dict[tuple[str, str, str], Pin] = {}
    for place in _files(root):
        for pattern, read in _READERS.items():
            if fnmatch(place, pattern):
                for pin in read(place, (root / place).read_text(encoding="utf-8")):
                    found.setdefault((pin.registry, pin.name, pin.version), pin)
    return sorted(found.values())


def _files(root: Path) -> Iterator[str]:
    """Give the repository's files, without what was downloaded or built."""
    for directory, below, names in os.walk(root):
        below[:] = sorted(d for d in below if not d.startswith(".") and d not in _MADE)
        yield from (str(Path(directory, name).relative_to(root)) for name in sorted(names))


def _asked(*command: str) -> str:
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=LOOKUP_SECONDS, check=False, cwd="/"
    )
    if answer.returncode:
        raise OSError((answer.stderr.strip().splitlines() or ["no answer"])[0].strip())
    return answer.stdout


def newest_on_pypi(name: str, place: str) -> str:
    """Return the newest release that the index of this machine has for the Python that runs it."""
    python = [] if place != NEWEST_CORE else ["--python-version", "3.13"]
    lines = _asked(sys.executable, "-m", "pip", "index", "versions", name, *python).splitlines()
    return lines[0].partition("(")[2].rstrip(")")


def newest_on_npm(name: str, _place: str) -> str:
    """Return what npm calls `latest`."""
    return _asked("npm", "view", name, "dist-tags.latest").strip()


def newest_in_go(name: str, _place: str) -> str:
    """Return the newest version that the module proxy names; for the toolchain, Go's own."""
    if name != "golang.org/toolchain":
        return _asked("go", "list", "-m", f"{name}@latest").split()[-1]
    listed = _asked("go", "list", "-m", "-versions", name)
    return max(re.findall(r"go(\d+\.\d+\.\d+)\.linux-amd64", listed), key=numbers)


def newest_in_maven(name: str, _place: str) -> str:
    """Return what Maven calls the release: it tells of it by the name of the file alone."""
    with tempfile.TemporaryDirectory() as where:
        artifact = [f"-Dartifact={name}:RELEASE:pom", f"-DoutputDirectory={where}"]
        _asked("mvn", "--batch-mode", "--quiet", "dependency:copy", *artifact)
        [file] = Path(where).iterdir()
    return file.stem.removeprefix(name.partition(":")[2] + "-")


NEWEST = {
    "PyPI": newest_on_pypi,
    "npm": newest_on_npm,
    "Go": newest_in_go,
    "Maven": newest_in_maven,
}


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers, to compare releases of one package."""
    match = _RELEASE.match(version)
    return tuple(int(number) for number in re.findall(r"\d+", match[0])) if match else ()


def verdict(pin: Pin, newest: str, held: dict[str, dict[str, str]]) -> Row:
    """Compare one pin with the newest release, its floors and the reason to stay behind.

    A reason holds for the release it was written for: a newer one is checked again.
    """
    problems = versions.version_problems({pin.name: pin.version.removeprefix("v")}, {})
    if problems:
        return Row(pin, newest, str(problems[0]), fine=False)
    if numbers(newest) <= numbers(pin.version):
        return Row(pin, newest, "newest", fine=True)
    reason = held.get(f"{pin.name}@{pin.version}")
    if reason and numbers(newest) <= numbers(reason["seen"]):
        return Row(pin, newest, f"held: {reason['why']}", fine=True)
    return Row(pin, newest, "behind", fine=False)


def look_up(pin: Pin, held: dict[str, dict[str, str]]) -> Row:
    """Ask the registry about one pin."""
    try:
        newest = NEWEST[pin.registry](pin.name, pin.place)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Row(pin, "?", f"could not be asked for: {error}", fine=False)
    return verdict(pin, newest, held)


def table(rows: Iterable[Row]) -> str:
    """Return the rows as text; what needs a decision stands last, where the eye is."""
    ordered = sorted(rows, key=lambda row: not row.fine)
    lines = [("registry", "package", "pinned", "newest", "where", "")]
    lines += [
        (row.pin.registry, row.pin.name, row.pin.version, row.newest, row.pin.place, row.verdict)
        for row in ordered
    ]
    return "\n".join(aligned(lines))


def main() -> int:
    """Print the table."""
    held = yaml.safe_load(HELD.read_text(encoding="utf-8"))
    with ThreadPoolExecutor(LOOKUPS_AT_A_TIME) as pool:
        rows = list(pool.map(lambda pin: look_up(pin, held), pins(ROOT)))
    print(table(rows))
    open_rows = sum(not row.fine for row in rows)
    print(f"\n{len(rows)} pins, {open_rows} to decide on")
    return 1 if open_rows else 0


if __name__ == "__main__":
    sys.exit(main())
