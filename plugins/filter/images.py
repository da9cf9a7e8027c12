# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest as images
from ansible_collections.intranet.mcp.plugins.module_utils.images import sources as image_sources
from ansible_collections.intranet.mcp.plugins.plugin_utils.images import table


def manifest_of_servers(servers, known):
    """Entries of the image manifest for MCP servers that are packages or the site's own images."""
    try:
        return images.manifest_of_servers(servers, list(known))
    except Unusable as error:
        raise AnsibleFilterError(str(error)) from error


def references(manifest):
    """The local name of each image."""
    try:
        return images.references(manifest)
    except Unusable as error:
        raise AnsibleFilterError(str(error)) from error


def ways(names, manifest, sources, prefix="", mirrors=None, upstream=False):
    """How each image may come: the sources and places of registries, for preflight."""
    try:
        return image_sources.told(manifest, names, sources, prefix, mirrors or {}, upstream)
    except Unusable as error:
        raise AnsibleFilterError(str(error)) from error


def pulled(manifest, prefix="", mirrors=None, upstream=False):
    """Where the nodes of a cluster pull each image."""
    try:
        return image_sources.references(manifest, prefix, mirrors or {}, upstream)
    except Unusable as error:
        raise AnsibleFilterError(str(error)) from error


def digests(pushed):
    """What was pushed, as image_extra pins it. pushed: what the module returned of each image."""
    return {name: {"digest": done["digest"]} for name, done in pushed.items()}


def unpinned(manifest):
    """The manifest without digests of images that are built, which an earlier push has pinned."""
    return {
        name: {**entry, "digest": None} if entry.get("recipe") else entry
        for name, entry in manifest.items()
    }


class FilterModule:
    def filters(self):
        return {
            "image_digests": digests,
            "image_manifest_of_servers": manifest_of_servers,
            "image_names_of_servers": images.names_of_servers,
            "image_foreign_of_servers": images.foreign_of_servers,
            "image_references": references,
            "image_rows": table.rows,
            "image_table": table.table,
            "image_pulled": pulled,
            "image_unpinned": unpinned,
            "image_ways": ways,
        }
