# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest as images
from ansible_collections.intranet.mcp.plugins.module_utils.images import sources as image_sources
from ansible_collections.intranet.mcp.plugins.module_utils.images.archive import CommandError
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
from ansible_collections.intranet.mcp.plugins.plugin_utils.images import nodes, table


def manifest_of_servers(servers: dict, known: list[str]) -> dict:
    """Entries of the image manifest for MCP servers that are packages or the site's own images."""
    return images.manifest_of_servers(servers, list(known))


def ways(
    names: list[str],
    manifest: dict,
    sources: list[str],
    prefix: str = "",
    mirrors: dict | None = None,
    upstream: bool = False,
) -> dict:
    """How each image may come: the sources and places of registries, for preflight."""
    return image_sources.told(manifest, names, sources, prefix, mirrors or {}, upstream)


def pulled(
    manifest: dict, prefix: str = "", mirrors: dict | None = None, upstream: bool = False
) -> dict:
    """Where the nodes of a cluster pull each image."""
    return image_sources.references(manifest, prefix, mirrors or {}, upstream)


def missing_on_node(references: list[str], bundle_path: str, listing: str) -> list[dict]:
    """Archives of a bundle that a node's containerd lacks. listing: of `ctr images ls`."""
    try:
        return nodes.missing(references, bundle_path, listing)
    except CommandError as error:
        raise AnsibleFilterError(str(error)) from error


def digests(pushed: dict) -> dict:
    """What was pushed, as image_extra pins it. pushed: what the module returned of each image."""
    return {name: {"digest": done["digest"]} for name, done in pushed.items()}


def unpinned(manifest: dict) -> dict:
    """The manifest without digests of images that are built, which an earlier push has pinned."""
    return {
        name: {**entry, "digest": None} if entry.get("recipe") else entry
        for name, entry in manifest.items()
    }


class FilterModule:
    def filters(self):
        return guarded(
            {
                "image_digests": digests,
                "image_manifest_of_servers": manifest_of_servers,
                "image_missing_on_node": missing_on_node,
                "image_names_of_servers": images.names_of_servers,
                "image_foreign_of_servers": images.foreign_of_servers,
                "image_references": images.references,
                "image_rows": table.rows,
                "image_table": table.table,
                "client_rows": table.client_rows,
                "weight_rows": table.weight_rows,
                "program_rows": table.program_rows,
                "image_pulled": pulled,
                "image_unpinned": unpinned,
                "image_ways": ways,
            }
        )
