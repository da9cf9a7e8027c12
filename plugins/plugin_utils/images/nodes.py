# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which archives of a bundle the containerd of a cluster's node lacks.

containerd says of an image by which digest it has it, which is not the one of the archive. What was
imported has the archive's as a label.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.images.bundle import Bundle

LABEL = "intranet.mcp/archive"
DOCKER_HUB = "docker.io"


def missing(references: list[str], bundle_path: str, listing: str) -> list[dict[str, str]]:
    """Return each image that a node lacks: `reference`, `name` (in containerd), `archive` (its path
    here), `label`.

    listing: what `ctr images ls` says. Raises CommandError for an archive that is not what the
    bundle's index says.
    """
    bundle, known = Bundle(bundle_path), _labels(listing)
    found = []
    for reference in references:
        name, entry = _name(reference), bundle.entry(reference) or {}
        label = f"{LABEL}={entry.get('id')}"
        if label not in known.get(name, ()):
            archive, _entry = bundle.checked(reference)
            found.append({"reference": reference, "name": name, "archive": archive, "label": label})
    return found


def _labels(listing: str) -> dict[str, list[str]]:
    """The labels of each image: the last of the columns, with commas between them."""
    rows = [line.split() for line in listing.splitlines()[1:]]
    return {row[0]: row[-1].split(",") for row in rows if row}


def _name(reference: str) -> str:
    """A reference as containerd keeps it, with the registry that docker leaves out."""
    first, slash, _rest = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return reference
    return f"{DOCKER_HUB}/{reference}" if slash else f"{DOCKER_HUB}/library/{reference}"
