# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a loaded model takes of a host's memory, and whether there is as much."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import client

MIB = 1024 * 1024


class Limits(NamedTuple):
    """The memory there is, in MiB. Without `memory_mb` nothing is compared: it is a GPU's.

    prompt_cache_mb: what the model's server may keep, besides, of conversations that wait. The
    container has that much beyond memory_mb; whether the host has it is another matter.
    """

    memory_mb: int | None
    prompt_cache_mb: int = 0
    host_mb: int | None = None


class Demand(NamedTuple):
    """What a model takes once it is loaded."""

    name: str
    weights: int  # bytes
    token: int  # bytes of each token it has read; 0 where its header does not tell
    context: int
    parallel: int
    is_declared: bool  # the context stands in ollama_models

    @property
    def cache(self) -> int:
        return self.token * self.context * self.parallel

    @property
    def total(self) -> int:
        return self.weights + self.cache

    def __str__(self) -> str:
        said = (
            f"{self.name} takes {client.mebibytes(self.total)} of memory: "
            f"{client.mebibytes(self.weights)} of weights and {client.mebibytes(self.cache)} for "
            f"{self.context} tokens of context x {self.parallel} at once "
            f"({self.token} bytes a token)"
        )
        if self.is_declared:
            return said
        return f"{said}; ollama_models names no context for it, so it gets all that it may have"

    def remedy(self, limit_mb: int) -> str:
        """Say what would make it fit into a limit."""
        room = max(limit_mb * MIB - self.weights, 0) // max(self.token * self.parallel, 1)
        if not self.token or room < 1024:
            return f"declare a smaller model than {self.name}"
        return f"set context: {room // 1024 * 1024} for {self.name} in ollama_models"


def of_conversations(shown: dict[str, Any], prompt_cache_mb: int) -> int:
    """Return the MiB that a model's conversations may take while they wait; vectors have none."""
    return prompt_cache_mb if "completion" in shown.get("capabilities", ["completion"]) else 0


def of_host() -> int:
    """Return the memory of this host, in MiB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB


def demand(
    name: str, size: int, shown: dict[str, Any], context: int, parallel: int, is_declared: bool
) -> Demand:
    """Return what a model takes, by its size and what `/api/show` tells of it."""
    return Demand(name, size, client.cache_bytes(shown), context, parallel, is_declared)


def check(wanted: Demand, limits: Limits) -> int:
    """Return the bytes that a model takes, or raise NoSpace with the numbers and the remedy."""
    if not limits.memory_mb:
        return wanted.total
    needed_mb = -(-wanted.total // MIB)
    if needed_mb > limits.memory_mb:
        raise errors.NoSpace(
            str(wanted),
            f"at most {limits.memory_mb} MiB (ollama_memory_mb)",
            f"{wanted.remedy(limits.memory_mb)}, or raise ollama_memory_mb to {needed_mb}",
        )
    if limits.host_mb and needed_mb + limits.prompt_cache_mb > limits.host_mb:
        remedy = wanted.remedy(limits.host_mb - limits.prompt_cache_mb)
        if needed_mb < limits.host_mb:
            lower = (limits.host_mb - needed_mb) // 2
            remedy = f"lower ollama_prompt_cache_mb to {lower}, or {remedy}"
        raise errors.NoSpace(
            f"{wanted}; {limits.prompt_cache_mb} MiB more are for conversations that wait "
            "(ollama_prompt_cache_mb)",
            f"at most {limits.host_mb} MiB together, the memory of this host",
            remedy,
        )
    return wanted.total
