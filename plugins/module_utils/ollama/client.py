# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Client of the Ollama API: requests, streams, and errors in an operator's words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import (
    HttpClient,
    Reply,
    wait_at_most,
)
from ansible_collections.intranet.mcp.plugins.module_utils.ollama.gguf import Weights
from ansible_collections.intranet.mcp.plugins.module_utils.ollama.modelfile import read_parameters

# Lists the models it has.
TAGS = "/api/tags"
# Checksums and manifests of large models are written in silence.
SILENT_PHASE_SECONDS = 3600
_PROGRESS_SECONDS = 5

# First match wins: what Ollama's error text holds, the error it is, what was expected, what to do.
_MEANINGS = (
    (
        ("no space left", "disk quota"),
        errors.NoSpace,
        "room for the model in Ollama's store",
        "free or add disk space, then run again: finished parts are kept",
    ),
    (
        ("no such host", "dial tcp", "connection refused", "network is unreachable", "i/o timeout"),
        errors.Unreachable,
        "a registry that Ollama's host can reach",
        "set the source's registry to a mirror, or add a file source",
    ),
    (
        ("x509", "tls:", "certificate"),
        errors.Unreachable,
        "a registry certificate that Ollama trusts",
        "give the Ollama container the site's CA bundle",
    ),
    (
        ("unauthorized", "access denied", "forbidden"),
        errors.Unauthorized,
        "a registry that lets Ollama read without a login",
        "allow anonymous reads there, or use another source",
    ),
    (
        ("digest mismatch",),
        errors.Mismatch,
        "blobs that match their digests",
        "check the mirror's storage, then run again",
    ),
    (
        ("file does not exist", "manifest unknown", "not found"),
        errors.Unknown,
        "a model that exists there",
        "check the model's name and tag, or mirror the model first",
    ),
    (
        ("newer version",),
        errors.Refused,
        "a model this version of Ollama can run",
        "upgrade Ollama or choose another model",
    ),
)


class OllamaClient:
    """One Ollama server."""

    def __init__(self, http: HttpClient) -> None:
        self.http = http

    def __repr__(self) -> str:
        return f"OllamaClient({self.http.url})"

    def models(self) -> list[dict[str, Any]]:
        """Return the models the server has."""
        return self._get(TAGS).get("models") or []

    def find(self, name: str) -> dict[str, Any] | None:
        """Return the entry of one model, or None."""
        wanted = canonical_name(name).lower()
        return next((m for m in self.models() if m.get("name", "").lower() == wanted), None)

    def running(self) -> list[dict[str, Any]]:
        """Return the models in memory, each with `size` and `size_vram` in bytes."""
        return self._get("/api/ps").get("models") or []

    def loaded(self, name: str) -> dict[str, Any] | None:
        """Return the entry of a model in memory, or None."""
        wanted = canonical_name(name).lower()
        return next((m for m in self.running() if m.get("name", "").lower() == wanted), None)

    def show(self, name: str) -> dict[str, Any]:
        """Return everything the server says of a model it has."""
        return self._checked(self.http.request("POST", "/api/show", {"model": name}), name)

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""
        body = {"source": source, "destination": destination}
        self._checked(self.http.request("POST", "/api/copy", body), source)

    def delete(self, name: str) -> None:
        """Remove a model; weights that another model uses stay."""
        self._checked(self.http.request("DELETE", "/api/delete", {"model": name}), name)

    def load(
        self,
        name: str,
        embeds_only: bool,
        timeout: float,
        for_good: bool = True,
        context: int = 0,
    ) -> None:
        """Load a model into memory, for good or for as long as the server keeps any.

        With the context that requests ask for: with another one it would be loaded anew.
        """
        path, extra = ("/api/embed", {"input": ""}) if embeds_only else ("/api/generate", {})
        body = {"model": name, "stream": False, **extra}
        if for_good:
            body["keep_alive"] = -1
        if context:
            body["options"] = {"num_ctx": context}
        if not embeds_only:
            body["shift"] = False  # as LiteLLM asks; Ollama keeps a process for each
        self._checked(self.http.request("POST", path, body, timeout=timeout), name)

    def has_blob(self, digest: str) -> bool:
        """Say whether the server already holds these weights."""
        return self.http.request("HEAD", f"/api/blobs/{digest}").ok

    def upload(self, weights: Weights, digest: str, report: Callable[[str], None]) -> None:
        """Send weights; the server checks that they match the digest."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(weights.size),
        }
        body = _reported(weights, report)
        try:
            with self.http.stream(
                "POST",
                f"/api/blobs/{digest}",
                data=body,
                headers=headers,
                timeout=SILENT_PHASE_SECONDS,
            ) as response:
                self._checked(self.http.read(response), weights.path)
        except errors.Unreachable as error:
            if not _is_cut_off(error):
                raise
            # Ollama closes the connection before it reads the rest; the reason stays in its log.
            raise errors.NoSpace(
                f"Ollama at {self.http.url} stopped reading {weights.path} half-way",
                f"room for {megabytes(weights.size)} in its store",
                "free or add disk space there and read Ollama's log",
            ) from error

    def create(self, request: dict[str, Any], report: Callable[[str], None]) -> None:
        """Make a model out of weights the server has."""
        for line in self._lines("/api/create", request, request["model"], SILENT_PHASE_SECONDS):
            report(f"create: {line.get('status', '')}")

    def pull(self, name: str, insecure: bool, watch: PullWatch) -> None:
        """Pull once; `watch` decides when it has stalled. What was fetched is kept for a retry."""
        request = {"model": name, "insecure": insecure}
        for line in self._lines("/api/pull", request, name, watch.stall_seconds, watch):
            watch.feed(line)

    def _get(self, path: str) -> dict[str, Any]:
        return self._checked(self.http.request("GET", path), path)

    def _lines(
        self, path: str, request: dict, name: str, timeout: float, watch: PullWatch | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the lines of a streamed reply.

        An error may come with its status, or as the last line of a reply that began with 200.
        """
        with self.http.stream("POST", path, body=request, timeout=timeout) as response:
            if not 200 <= response.status < 300:
                self._checked(self.http.read(response), name)
            status = ""
            for raw in response:
                try:
                    line = json.loads(raw)
                except ValueError:
                    raise self._unexpected(raw[:80]) from None
                if line.get("error"):
                    raise explain(f"{line['error']}", name)
                yield line
                status = line.get("status", "")
                if watch is not None:
                    wait_at_most(response, watch.allowed_silence(status))
        if status != "success":
            raise errors.Unreachable(
                f"Ollama at {self.http.url} broke off {path} after {status or 'nothing'!r}",
                "a stream that ends in success",
                "check that Ollama did not restart, read its log, then run again",
            )

    def _checked(self, reply: Reply, name: str) -> dict[str, Any]:
        body = reply.json()
        if reply.ok:
            if reply.body and not isinstance(body, dict):
                raise self._unexpected(reply.text[:80])
            return body or {}
        message = body.get("error") if isinstance(body, dict) else reply.text[:200]
        if not isinstance(body, dict) or not message:
            raise self._unexpected(f"HTTP {reply.status} {message}")
        raise explain(str(message), name)

    def _unexpected(self, found: Any) -> errors.Unexpected:
        return errors.Unexpected(
            f"{self.http.url} answered {found!r}",
            "Ollama's API",
            "check that ollama_url is the address of Ollama itself",
        )


def on_gpu(model: dict[str, Any]) -> float:
    """Return the share of a loaded model that lies in GPUs' memory, from 0 to 1. Pure."""
    return min(1.0, model.get("size_vram", 0) / (model.get("size") or 1))


class PullWatch:
    """Judges the lines of a pull: what to report, whether it stalled, whether it fits.

    Ollama keeps sending lines while no byte arrives, so only `completed` tells; it is left out
    while it is 0.
    """

    def __init__(
        self,
        stall_seconds: float,
        report: Callable[[str], None],
        free_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stall_seconds = stall_seconds
        self.completed: dict[str, int] = {}
        self._report, self._clock, self._free_bytes = report, clock, free_bytes
        self._totals: dict[str, int] = {}
        self._status = ""
        self._moved_at = self._reported_at = clock()

    def __repr__(self) -> str:
        return f"PullWatch({sum(self.completed.values())} of {sum(self._totals.values())} bytes)"

    @property
    def has_moved(self) -> bool:
        """True once bytes of a model arrived."""
        return any(self.completed.values())

    def allowed_silence(self, status: str) -> float:
        """Return for how long the server may now say nothing."""
        if status.startswith(("verifying", "writing", "removing")):
            return SILENT_PHASE_SECONDS
        return self.stall_seconds

    def feed(self, line: dict[str, Any]) -> None:
        """Take one line; raise when the pull has stalled or will not fit."""
        now = self._clock()
        status, digest = line.get("status", ""), line.get("digest")
        if digest:
            self._note_layer(digest, line)
        moved = digest is not None and line.get("completed", 0) > self.completed.get(digest, 0)
        if moved:
            self.completed[digest] = line["completed"]
        is_new = status != self._status
        if moved or is_new:
            self._moved_at = now
        elif now - self._moved_at >= self.stall_seconds:
            raise self.stalled()
        if is_new or (moved and now - self._reported_at >= _PROGRESS_SECONDS):
            self._status, self._reported_at = status, now
            self._report(self._sentence(status, digest))

    def stalled(self) -> errors.Stalled:
        """Return the error for a pull that moves no more."""
        return errors.Stalled(
            f"the pull received no byte for {self.stall_seconds:g} s after "
            f"{megabytes(sum(self.completed.values()))}",
            "a registry that keeps sending",
            "check the registry and the network, then run again: the pull resumes",
        )

    def _note_layer(self, digest: str, line: dict[str, Any]) -> None:
        if digest in self._totals:
            return
        self._totals[digest] = line.get("total", 0)
        missing = self._totals[digest] - line.get("completed", 0)
        if self._free_bytes is not None and missing > self._free_bytes:
            raise not_enough_space(missing, self._free_bytes)

    def _sentence(self, status: str, digest: str | None) -> str:
        total = self._totals.get(digest or "", 0)
        if not total:
            return f"pull: {status}"
        done = self.completed.get(digest or "", 0)
        return f"pull: {status}: {100 * done // total} % of {megabytes(total)}"


def explain(message: str, name: str) -> errors.ServiceError:
    """Turn an error text of Ollama into what it means to an operator."""
    lowered = message.lower()
    for needles, error, expected, action in _MEANINGS:
        if any(needle in lowered for needle in needles):
            return error(f"Ollama says of {name}: {message}", expected, action)
    return errors.Refused(
        f"Ollama refuses {name}: {message}",
        "a request it accepts",
        "correct the model's definition, or read Ollama's log",
    )


NO_FACTS: dict[str, Any] = {"capabilities": [], "context": 0, "memory": 0}
_CACHE_BYTES = 2  # of one number of the cache: 16 bits, unless OLLAMA_KV_CACHE_TYPE says otherwise


def trained_context(shown: dict[str, Any]) -> int:
    """Return how many tokens the weights were trained for; 0 where `/api/show` does not say."""
    known = shown.get("model_info") or {}
    architecture = known.get("general.architecture", "")
    return int(known.get(f"{architecture}.context_length") or 0)


def own_context(shown: dict[str, Any]) -> int:
    """Return the num_ctx of the model's own parameters; 0 where it has none."""
    return int(read_parameters(shown.get("parameters") or "").get("num_ctx") or 0)


def context_of(name: str, shown: dict[str, Any], declared: int | None, limit: int | None) -> int:
    """Return the tokens of context a model is used with; refuse what Ollama would cut silently."""
    trained = trained_context(shown)
    if declared and trained and declared > trained:
        raise errors.Refused(
            f"context {declared} is declared for {name}, whose weights were trained for {trained}",
            f"at most {trained} tokens",
            "lower its context in ollama_models, or choose another model",
        )
    wanted = declared or own_context(shown) or limit or trained
    return min(wanted, trained) if trained else wanted


def cache_bytes(shown: dict[str, Any]) -> int:
    """Return the bytes that a model keeps of each token it has read; 0 where nothing tells.

    Layers with a sliding window keep less, so this is the most it takes.
    """
    known = shown.get("model_info") or {}
    prefix = known.get("general.architecture", "")

    def value(name: str) -> Any:
        return known.get(f"{prefix}.{name}")

    layers, heads = value("block_count") or 0, value("attention.head_count") or 0
    of_keys = value("attention.head_count_kv") or heads
    if not layers or not isinstance(heads, int) or not heads:
        return 0
    width = (value("embedding_length") or 0) // heads
    both = (value("attention.key_length") or width) + (value("attention.value_length") or width)
    in_all_layers = sum(of_keys) if isinstance(of_keys, list) else layers * of_keys
    return int(in_all_layers * both * _CACHE_BYTES)


def not_enough_space(needed: int, free: int) -> errors.NoSpace:
    """Return the error for a store that is too small."""
    return errors.NoSpace(
        f"{megabytes(free)} are free in Ollama's store",
        f"{megabytes(needed)} for the model",
        "free or add disk space, remove models (state=absent), or choose a smaller model",
    )


def canonical_name(name: str) -> str:
    """Return a name as Ollama lists it: with a tag, without the public registry's name."""
    name = name.removeprefix("registry.ollama.ai/").removeprefix("library/")
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def registry_name(name: str, registry: str | None) -> str:
    """Return a name under which Ollama pulls from that registry."""
    name = canonical_name(name)
    if not registry:
        return name
    return f"{registry.rstrip('/')}/{name if '/' in name else 'library/' + name}"


def megabytes(count: int) -> str:
    """Return a size for people."""
    return f"{count / 1_000_000:,.0f} MB"


def mebibytes(count: int) -> str:
    """Return an amount of memory for people, as settings give it."""
    return f"{-(-count // 1024**2)} MiB"


def _reported(weights: Weights, report: Callable[[str], None]) -> Iterator[bytes]:
    sent, step = 0, -1
    for block in weights.blocks():
        yield block
        sent += len(block)
        if (now := 10 * sent // weights.size) > step:
            step = now
            report(f"upload: {10 * step} % of {megabytes(weights.size)}")


def _is_cut_off(error: Exception) -> bool:
    cause: BaseException | None = error.__cause__
    reason = getattr(cause, "reason", cause)
    return isinstance(reason, (BrokenPipeError, ConnectionResetError))
