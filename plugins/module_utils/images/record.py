# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a host knows of where its images came from. A pulled image cannot carry a label of ours."""

from __future__ import annotations

import json
import os


class Record:
    """{reference: {id, way, digest, asked}} in a file.

    way: bundle, build, or the name of a place at a registry. digest: the manifest's, where it is
    known. asked: places of registries that come first and did not have it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.images = self._read()

    def __repr__(self) -> str:
        return f"Record({self.path!r}, {len(self.images)} images)"

    def _read(self) -> dict:
        try:
            with open(self.path, encoding="utf-8") as stream:
                found = json.load(stream)["images"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # without it, images that are there are taken for what they say they are
        if not isinstance(found, dict):
            return {}
        return {name: entry for name, entry in found.items() if _is_entry(entry)}

    def origin(self, reference: str, image_id: str) -> dict | None:
        """Return what is known of an image, unless another one has its name now."""
        entry = self.images.get(reference)
        return entry if entry and entry["id"] == image_id else None

    def write(self, reference: str, entry: dict | None) -> None:
        """Keep what is known of an image; None removes it."""
        if entry is None and reference not in self.images:
            return
        self.images.pop(reference, None)
        if entry is not None:
            self.images[reference] = entry
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        partial = f"{self.path}.part"
        with open(partial, "w", encoding="utf-8") as stream:
            json.dump({"images": self.images}, stream, indent=2, sort_keys=True)
            stream.write("\n")
        os.replace(partial, self.path)


def _is_entry(entry) -> bool:
    return (
        isinstance(entry, dict)
        and all(isinstance(entry.get(key), str) for key in ("id", "way", "digest"))
        and isinstance(entry.get("asked"), list)
    )
