# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where a model may come from. Each source says what it would change, and does it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.diff import Difference
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Mismatch,
    Stalled,
    TimedOut,
    Unknown,
    Unreachable,
)
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import client as ollama
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import modelfile
from ansible_collections.intranet.mcp.plugins.module_utils.ollama.gguf import Weights

_BACKUP_TAG = "intranet-mcp-backup"


class Destination:
    """The model to be made: its server, its name, and what it must keep to."""

    def __init__(
        self,
        client: ollama.OllamaClient,
        name: str,
        options: dict[str, Any],
        report: Callable[[str], None],
    ) -> None:
        self.client, self.name, self.report = client, name, report
        self.pin = (options["digest"] or "").removeprefix("sha256:")
        self.update = options["update"]
        self.stall_seconds, self.retries = options["stall_seconds"], options["retries"]
        self._models_path = options["models_path"]

    def __repr__(self) -> str:
        return f"Destination({self.name} at {self.client})"

    def accepts(self, digest: str | None) -> bool:
        """True when the digest is the pinned one, or none is pinned."""
        return not self.pin or digest == self.pin

    def check(self, name: str) -> None:
        """Remove and refuse a model whose digest is not the pinned one."""
        digest = (self.client.find(name) or {}).get("digest", "")
        if self.accepts(digest):
            return
        self.client.delete(name)
        raise Mismatch(
            f"{name} arrived with the digest {digest}",
            f"the pinned {self.pin}",
            "correct the source, or the digest if the new model is intended",
        )

    @contextlib.contextmanager
    def replaced(self) -> Iterator[None]:
        """Put the present model back when what replaces it does not match the pin."""
        backup = None
        if self.pin and self.client.find(self.name):
            backup = f"{self.name.rsplit(':', 1)[0]}:{_BACKUP_TAG}"
            self.client.copy(self.name, backup)
        try:
            yield
        except Mismatch:
            if backup:
                self.client.copy(backup, self.name)
            raise
        finally:
            if backup:
                self.client.delete(backup)

    def free_bytes(self) -> int | None:
        """Return the free space of Ollama's store, None when its place is not known."""
        if not self._models_path:
            return None
        if not os.path.isdir(self._models_path):
            raise Unknown(
                f"models_path {self._models_path} is no directory on this host",
                "the directory of Ollama's store",
                "correct models_path or leave it out",
            )
        return shutil.disk_usage(self._models_path).free


class RegistrySource:
    """Pulls the model."""

    kind = "registry"

    def __init__(self, destination: Destination, options: dict[str, Any]) -> None:
        self.destination = destination
        self.insecure = options["insecure"]
        model = options["model"] or destination.name
        self.remote = ollama.registry_name(model, options["registry"])
        self.other_labels: set[str] = set()

    def difference(self, show: dict[str, Any]) -> Difference:
        """Any model that no other source made will do, unless an update is asked for."""
        difference = Difference()
        label = modelfile.describe(show)["label"]
        is_pulled = bool(show) and not modelfile.is_made_here(show)
        if self.destination.update or not is_pulled or label in self.other_labels:
            difference.compare("pulled", label, self.remote)
        return difference

    def apply(self) -> None:
        """Pull, and put the model under its name."""
        destination, client = self.destination, self.destination.client
        if self.remote.lower() == destination.name.lower():
            with destination.replaced():
                self._pull()
                destination.check(self.remote)
            return
        self._pull()
        destination.check(self.remote)
        client.copy(self.remote, destination.name)
        client.delete(self.remote)

    def _pull(self) -> None:
        destination, failure = self.destination, None
        for attempt in range(destination.retries + 1):
            if failure:
                destination.report(f"pull: resuming ({attempt}/{destination.retries}): {failure}")
            watch = ollama.PullWatch(
                destination.stall_seconds, destination.report, destination.free_bytes()
            )
            try:
                destination.client.pull(self.remote, self.insecure, watch)
                return
            except (Stalled, TimedOut, Unreachable) as error:
                # A registry that never sent a byte is away; asking again would only take longer.
                if not watch.has_moved or attempt == destination.retries:
                    raise
                failure = error


class FileSource:
    """Makes the model from weights on this host, or on top of a model that is there."""

    kind = "file"

    def __init__(self, destination: Destination, options: dict[str, Any]) -> None:
        self.destination = destination
        self.checksum = options["checksum"]
        self.definition = self.define(options)
        self._weights: Weights | None = None
        self._weights_digest = ""
        self._is_checked = False

    def define(self, options: dict[str, Any]) -> modelfile.Definition:
        """Return what the options describe."""
        fields = ("path", "pooling_type", "context", "template", "system", "parameters")
        return modelfile.Definition(**{field: options[field] for field in fields})

    def difference(self, show: dict[str, Any]) -> Difference:
        """Compare the model with the definition."""
        difference, current = Difference(), modelfile.describe(show)
        wanted = self._expected(current)
        if "stop" not in wanted.get("parameters", {}):
            # Ollama adds the stop words of a chat template it recognises. That somebody took our
            # own away still shows, in the label.
            current["parameters"].pop("stop", None)
        for field, value in wanted.items():
            difference.compare(field, current[field], value)
        return difference

    def apply(self) -> None:
        """Send the weights unless the server has them, then make the model."""
        destination, client = self.destination, self.destination.client
        digest = None if self.definition.base else self._send()
        with destination.replaced():
            client.create(self.definition.request(destination.name, digest), destination.report)
            destination.check(destination.name)

    def _send(self) -> str:
        destination, digest = self.destination, self._digest("")
        if destination.client.has_blob(digest):
            return digest
        digest, weights = self._read()
        self._check(self.definition.path)
        free = destination.free_bytes()
        if free is not None and weights.size > free:
            raise ollama.not_enough_space(weights.size, free)
        destination.client.upload(weights, digest, destination.report)
        return digest

    def _expected(self, current: dict[str, Any]) -> dict[str, Any]:
        if self.definition.base:
            return self.definition.expected(None, self._base())
        return self.definition.expected(self._digest(current["weights"]))

    def _base(self) -> dict[str, Any]:
        base, client = self.definition.base, self.destination.client
        if client.find(base) is None:
            raise Unknown(
                f"Ollama has no model {base}, which the Modelfile of {self.destination.name} names",
                "a model that is there",
                "declare that model first (Ollama would pull it from the public registry)",
            )
        return client.show(base)

    def _digest(self, current: str) -> str:
        """Return the digest of the weights to send; read them only where nothing else tells it."""
        if self.checksum and not self.definition.is_rewritten:
            return self.checksum
        if current and not os.path.exists(self.definition.path):
            return current  # the file was removed after the model was made
        digest = self._read()[0]
        if digest != current:  # what the server has already was checked when it was sent
            self._check(self.definition.path)
        return digest

    def _read(self) -> tuple[str, Weights]:
        if self._weights is None:
            path = self.definition.path
            try:
                wanted = self.definition
                self._weights = Weights(path, wanted.pooling_type, wanted.context)
                self._weights_digest = self._weights.digest()
            except OSError as error:
                raise Unknown(
                    f"{path} cannot be read on this host ({error.strerror})",
                    "a GGUF file",
                    "copy the weights to this host or correct the source's path",
                ) from error
        return self._weights_digest, self._weights

    def _check(self, path: str) -> None:
        if not self.checksum or self._is_checked:
            return
        is_rewritten = self.definition.is_rewritten
        found = Weights(path).digest() if is_rewritten else self._weights_digest
        if found != self.checksum:
            raise Mismatch(
                f"{path} has the checksum {found}",
                self.checksum,
                "copy the file again, or correct the checksum if the new file is intended",
            )
        self._is_checked = True


class ModelfileSource(FileSource):
    """Makes the model from the text of a Modelfile."""

    kind = "modelfile"

    def define(self, options: dict[str, Any]) -> modelfile.Definition:
        """Return what the text describes."""
        return modelfile.parse_modelfile(options["content"])


KINDS = {kind.kind: kind for kind in (RegistrySource, FileSource, ModelfileSource)}


def sources(destination: Destination, options: list[dict[str, Any]] | None) -> list[Any]:
    """Return the sources in the order given; without any, the model is pulled by its name."""
    plain = {"type": "registry", "model": None, "registry": None, "insecure": False}
    found = [KINDS[option["type"]](destination, option) for option in options or [plain]]
    bases = {s.definition.base for s in found if isinstance(s, FileSource) and s.definition.base}
    for source in found:
        if isinstance(source, RegistrySource):
            source.other_labels = {ollama.canonical_name(base) for base in bases}
    return found
