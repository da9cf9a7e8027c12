"""Text tools for agents: what language models are bad at, counting and comparing.

Copy this package to begin a server of your own: a function with type hints and a docstring is a
tool. The platform starts it on stdio behind the gateway; it needs no port and no key handling.
"""

from __future__ import annotations

import difflib
import hashlib
from typing import Annotated, Literal

from mcp.server import MCPServer
from pydantic import BaseModel, Field

server = MCPServer("example", version="1.0.0", instructions="Counts, hashes and compares text.")

Text = Annotated[str, Field(description="The text", max_length=1_000_000)]


class Counts(BaseModel):
    """How long a text is."""

    characters: int
    words: int
    lines: int


@server.tool()
def count(text: Text) -> Counts:
    """Count characters, words and lines of a text."""
    return Counts(characters=len(text), words=len(text.split()), lines=len(text.splitlines()))


@server.tool()
def checksum(text: Text, algorithm: Literal["sha256", "sha512", "md5"] = "sha256") -> str:
    """Return the hexadecimal checksum of a text in UTF-8."""
    return hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest()


@server.tool()
def compare(before: Text, after: Text) -> str:
    """Return the unified diff of two texts, empty when they are equal."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "before", "after", lineterm=""
    )
    return "\n".join(lines)


def main() -> None:
    server.run("stdio")


if __name__ == "__main__":
    main()
