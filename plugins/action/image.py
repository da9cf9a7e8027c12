# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import io
import os
import stat
import tarfile
import tempfile
from functools import partial

from ansible.errors import AnsibleActionFail
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import bundle as image_bundle
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest as images
from ansible_collections.intranet.mcp.plugins.module_utils.images.archive import CommandError
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.bulk import uncompressed
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.progress import ProgressAction

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ActionModule(ProgressAction):
    """Reads the recipes here, asks the host what is missing, sends only what that needs."""

    def module_arguments(self, arguments: dict, task_vars: dict) -> dict:
        """Add the recipe hash of every image that is wanted or may be built."""
        manifest = arguments.get("manifest") or {}
        names = arguments.get("names") or []
        if not isinstance(manifest, dict) or not isinstance(names, list):
            return dict(arguments)  # the module says what is wrong with them
        try:
            images.check(manifest, names)
            order = images.build_order(manifest, names)
        except Unusable as error:
            raise AnsibleActionFail(str(error)) from error
        self._contexts = {name: self._context(name, manifest[name]) for name in order}
        hashes: dict[str, str] = {}
        for name in order:
            if manifest[name].get("recipe"):
                needs = images.hashes_of_needs(manifest, name, hashes)
                files = self._contexts[name]
                hashes[name] = images.recipe_hash(manifest[name], files, needs)
        return {
            **arguments,
            "manifest": {name: manifest[name] for name in order},
            "recipes": hashes,
        }

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Ask what is missing; only then send contexts and archives, and work in the background."""
        if self._task.check_mode or self._task.async_val:
            return super().execute(arguments, task_vars)
        if arguments.get("state", "present") != "present":
            return self.execute_live(arguments, task_vars)
        plan = self._execute_module(
            module_args={**arguments, "plan_only": True}, task_vars=task_vars
        )
        if plan.get("failed") or not plan.get("changed"):
            return plan
        arguments = {**arguments, **self._sent_bundle(arguments, plan)}
        if "build" in arguments.get("sources", images.SOURCES):
            arguments["contexts"] = self._sent_contexts()
        try:
            return self.execute_live(arguments, task_vars)
        finally:
            self.discard(self._place())

    def _place(self) -> str:
        """Return a directory on the host for what is sent; the async job outlives Ansible's own."""
        if not getattr(self, "_directory", None):
            made = self._low_level_execute_command(
                "umask 077; mktemp -d /tmp/intranet-mcp-image.XXXXXXXX", sudoable=False
            )
            self._directory = made.get("stdout", "").strip()
            if made.get("rc") != 0 or not self._directory.startswith("/tmp/"):  # noqa: S108
                raise AnsibleActionFail(
                    f"cannot make a directory in /tmp of the host ({made.get('stderr', '').strip()}"
                    "); expected a writable /tmp: free space there"
                )
        return self._directory

    def _sent_contexts(self) -> str:
        """Send every build context as one archive."""
        with tempfile.NamedTemporaryFile(suffix=".tar.gz", delete=False) as stream:
            stream.write(packed(self._contexts))
        try:
            target = f"{self._place()}/contexts.tar.gz"
            self._transfer_file(stream.name, target)
        finally:
            os.unlink(stream.name)
        return target

    def _sent_bundle(self, arguments: dict, plan: dict) -> dict:
        """Send the archives that the host misses from a bundle on this machine."""
        path = arguments.get("bundle_path")
        if not plan.get("bundle_missing") or not path or not os.path.isdir(path):
            return {}
        try:
            bundle = image_bundle.Bundle(path)
        except Unusable as error:
            raise AnsibleActionFail(str(error)) from error
        wanted = [image["reference"] for image in plan["images"].values() if not image["id"]]
        archives = {bundle.images[r]["archive"] for r in wanted if r in bundle.images}
        if not archives:
            return {}
        place = f"{self._place()}/bundle"
        self._low_level_execute_command(f"mkdir -p {place}/images", sudoable=False)
        for name in [*sorted(archives), image_bundle.INDEX]:
            source = os.path.join(path, name)
            try:
                image_bundle.refuse_links(path, source)
            except CommandError as error:
                raise AnsibleActionFail(str(error)) from error
            if os.path.isfile(source):
                target = f"{place}/{name}"
                uncompressed(self._connection, partial(self._transfer_file, source, target))
        return {"bundle_path": place}

    def _context(self, name: str, entry: dict) -> dict[str, tuple[bool, bytes]]:
        """Return the files of a build context: path -> (executable, content)."""
        recipe = entry.get("recipe")
        if not recipe:
            return {}
        root = self._found(name, recipe.get("context"))
        files = read_context(root, recipe.get("ignore", []))
        if recipe.get("dockerfile"):
            path = self._found(name, recipe["dockerfile"])
            with open(path, "rb") as stream:
                files["Dockerfile"] = (False, stream.read())
        return files

    def _found(self, name: str, path: str | None) -> str:
        """Return where a path of the manifest is: in this collection, or beside the playbook."""
        candidates = [os.path.join(COLLECTION, path or ""), self._loader.path_dwim(path or "")]
        for candidate in candidates:
            if path and os.path.exists(candidate):
                return candidate
        raise AnsibleActionFail(
            f"image {name}: {path!r} is not in the collection nor beside the playbook; expected "
            "the build context as recipe.context (and recipe.dockerfile): correct the entry of "
            "image_extra"
        )


def read_context(root: str, ignore: list[str]) -> dict[str, tuple[bool, bytes]]:
    """Return the files below a directory, but for what no image needs."""
    patterns = [*ignore, *_ignore_file(root)]
    files = {}
    for directory, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, root)
            if images.is_ignored(relative, patterns) or not os.path.isfile(path):
                continue
            with open(path, "rb") as stream:
                is_executable = bool(os.stat(path).st_mode & stat.S_IXUSR)
                files[relative] = (is_executable, stream.read())
    return files


def _ignore_file(root: str) -> list[str]:
    path = os.path.join(root, ".dockerignore")
    if not os.path.isfile(path):
        return []
    with open(path, encoding="utf-8") as stream:
        lines = [line.strip() for line in stream]
    return [line for line in lines if line and not line.startswith("#")]


def packed(contexts: dict[str, dict[str, tuple[bool, bytes]]]) -> bytes:
    """Return the contexts as a tar archive: contents and permissions, nothing of this machine."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for image, files in contexts.items():
            for path, (is_executable, content) in files.items():
                member = tarfile.TarInfo(f"{image}/{path}")
                member.size = len(content)
                member.mode = 0o755 if is_executable else 0o644
                archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
