# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Stands in for the docker program: images are entries of a JSON file, calls are recorded.

    fake_docker.py STATE ARGUMENTS...

STATE is a directory: images.json {reference: {id, labels}}, registry.json [references] or
{reference: {id, architecture, digest, recipe}}, broken.json [names whose build fails], down (a
file: the daemon does not answer), calls.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path


def load(path, default):
    return json.loads(path.read_text()) if path.is_file() else default


def options(words, name):
    return [words[i + 1] for i, word in enumerate(words[:-1]) if word == name]


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(1)


def inspect(images, references):
    found = [
        {
            "Id": images[r]["id"],
            "RepoTags": [] if "@" in r else [r],
            "RepoDigests": images[r].get("digests", []),
            "Architecture": images[r].get("architecture"),
            "Config": {"Labels": images[r]["labels"]},
        }
        for r in references
        if r in images
    ]
    print(json.dumps(found))
    missing = [r for r in references if r not in images]
    if missing:
        fail(f"Error: No such image: {missing[0]}")


def build(state, images, words):
    tag = options(words, "--tag")[0]
    name = tag.split("/")[1].split(":")[0]
    for step in (1, 2):
        print(f"Step {step}/2 : RUN true", flush=True)
    if name in load(state / "broken.json", []):
        fail(f"E: the mirror has no {name}")
    if not (Path(words[-1]) / "Dockerfile").is_file():
        fail("no Dockerfile")
    labels = dict(label.split("=", 1) for label in options(words, "--label"))
    identity = hashlib.sha256(json.dumps([tag, labels], sort_keys=True).encode()).hexdigest()
    images[tag] = {"id": f"sha256:{identity}", "labels": labels}


def pull(state, images, reference):
    held = load(state / "registry.json", [])
    if reference not in held:
        fail(f"manifest for {reference} not found")
    facts = held[reference] if isinstance(held, dict) else {}
    repository = reference.partition("@")[0] if "@" in reference else reference.rpartition(":")[0]
    images[reference] = {
        "id": facts.get("id", f"sha256:{reference}"),
        "labels": {"intranet.mcp.recipe": facts["recipe"]} if "recipe" in facts else {},
        "architecture": facts.get("architecture"),
        "digests": [f"{repository}@{facts['digest']}"] if "digest" in facts else [],
    }


def push(state, images, reference):
    if reference in load(state / "broken.json", []):
        fail(f"denied: {reference}")
    digest = hashlib.sha256(images[reference]["id"].encode()).hexdigest()
    repository = reference.rpartition(":")[0]
    images[reference]["digests"] = [f"{repository}@sha256:{digest}"]


def save(images, path, reference):
    image = images[reference]
    config = {**image, "config": {"Labels": image["labels"]}}
    manifest = [{"Config": "config.json", "RepoTags": [reference]}]
    with tarfile.open(path, "w") as archive:
        for name, value in (("config.json", config), ("manifest.json", manifest)):
            content = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def load_archive(images, path):
    with tarfile.open(path) as archive:
        for image in json.load(archive.extractfile("manifest.json")):
            config = json.load(archive.extractfile(image["Config"]))
            labels = config.pop("config")["Labels"]
            for tag in image["RepoTags"]:
                images[tag] = {**config, "labels": labels}


def main():
    state, *words = sys.argv[1:]
    state = Path(state)
    with (state / "calls").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    if (state / "down").exists():
        fail("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        images = load(state / "images.json", {})
        act(state, images, words)
        (state / "images.json").write_text(json.dumps(images))


def act(state, images, words):
    match words:
        case ["image", "inspect", *references]:
            inspect(images, references)
        case ["build", *_]:
            build(state, images, words)
        case ["pull", reference]:
            pull(state, images, reference)
        case ["push", reference]:
            push(state, images, reference)
        case ["tag", source, target]:
            images[target] = {**images[source]}
        case ["save", "--output", path, reference]:
            save(images, path, reference)
        case ["load", "--input", path]:
            load_archive(images, path)
        case ["image", "rm", reference]:
            del images[reference]
        case _:
            fail(f"unexpected: {words}")


main()
