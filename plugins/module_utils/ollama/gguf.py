# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Reads the header of a GGUF file, and presents the file with some metadata values set.

Weights are tens of gigabytes, so nothing is copied: the changed file exists only while it is read.
The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
import os
import struct
from typing import BinaryIO

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused

POOLING_TYPES = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}

_MAGIC = b"GGUF"
_STRING, _ARRAY, _UINT32, _FLOAT32 = 8, 9, 4, 6
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_DEFAULT_ALIGNMENT = 32
_BLOCK_BYTES = 1024 * 1024


class _Cursor:
    """Walks the header and refuses to walk past its end."""

    def __init__(self, stream: BinaryIO, path: str) -> None:
        self.stream, self.path = stream, path
        self.size = os.fstat(stream.fileno()).st_size

    def take(self, count: int) -> bytes:
        if count > self.size - self.stream.tell():
            raise self.damaged()
        return self.stream.read(count)

    def number(self, form: str) -> int:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", errors="replace")

    def skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self.skip(self.number("Q"))
        elif kind == _ARRAY:
            kind, count = self.number("I"), self.number("Q")
            if kind in _SIZES:
                self.skip(_SIZES[kind] * count)
            else:
                for _index in range(count):
                    self.skip_value(kind)
        elif kind in _SIZES:
            self.skip(_SIZES[kind])
        else:
            raise self.damaged()

    def skip(self, count: int) -> None:
        if count > self.size - self.stream.tell():
            raise self.damaged()
        self.stream.seek(count, os.SEEK_CUR)

    def damaged(self) -> Refused:
        return Refused(
            f"{self.path} ends or breaks in the middle of its GGUF header",
            "a complete GGUF file",
            "copy the file again and compare its checksum with the source's",
        )


class Header:
    """Where the parts of a GGUF file lie."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.architecture = ""
        self.values: dict[str, int] = {}
        self.keys: set[str] = set()
        self._places: dict[str, int] = {}
        alignment = _DEFAULT_ALIGNMENT
        with open(path, "rb") as stream:
            cursor = _Cursor(stream, path)
            self._read_start(cursor)
            for _index in range(self.value_count):
                key, kind, place = cursor.text(), cursor.number("I"), stream.tell()
                self.keys.add(key)
                if kind == _UINT32:
                    self.values[key] = cursor.number("I")
                    self._places[key] = place
                elif key == "general.architecture" and kind == _STRING:
                    self.architecture = cursor.text()
                else:
                    cursor.skip_value(kind)
            alignment = self.values.get("general.alignment", alignment)
            self.values_end = stream.tell()
            for _index in range(self.tensor_count):
                cursor.text()
                cursor.skip(8 * cursor.number("I") + 12)
            self.tensors_end = stream.tell()
            self.size = cursor.size
        self.alignment = alignment
        self.data_start = _align(self.tensors_end, alignment)

    def __repr__(self) -> str:
        return f"Header({self.path}, {self.architecture}, {self.value_count} values)"

    def _read_start(self, cursor: _Cursor) -> None:
        magic = cursor.take(4) if cursor.size >= 24 else b""
        version = cursor.number("I") if magic == _MAGIC else 0
        if version not in (2, 3):
            raise Refused(
                f"{self.path} is not a GGUF file of version 2 or 3",
                "model weights in GGUF format",
                "give the .gguf file itself; convert other formats with llama.cpp first",
            )
        self.tensor_count, self.value_count = cursor.number("Q"), cursor.number("Q")

    def with_values(self, values: dict[str, int | float | str]) -> bytes:
        """Return the bytes that stand before the weights once these keys have these values."""
        with open(self.path, "rb") as stream:
            head = bytearray(stream.read(self.tensors_end))
        added = b""
        for key, value in values.items():
            if key in self._places:
                struct.pack_into("<I", head, self._places[key], value)
            else:
                added += _text(key) + _typed(value)
        missing = sum(key not in self._places for key in values)
        struct.pack_into("<Q", head, 16, self.value_count + missing)
        head[self.values_end : self.values_end] = added
        padding = _align(len(head), self.alignment) - len(head)
        return bytes(head) + b"\0" * padding

    def stretched(self, context: int) -> dict[str, int | float | str]:
        """Return the values that make the weights read so many tokens; none where they do.

        YaRN, the usual way to read more than weights were trained for: positions are scaled, and
        what stands near stays sharp.
        """
        prefix = self.architecture
        trained = self.values.get(f"{prefix}.context_length", 0)
        if not trained or context <= trained:
            return {}
        if f"{prefix}.rope.scaling.type" in self.keys:
            raise Refused(
                f"{self.path} is to read {context} tokens, and brings a rope.scaling of its own "
                f"for {trained}",
                f"at most {trained} tokens of context",
                "lower the context, or choose other weights",
            )
        return {
            f"{prefix}.context_length": context,
            f"{prefix}.rope.scaling.type": "yarn",
            f"{prefix}.rope.scaling.factor": context / trained,
            f"{prefix}.rope.scaling.original_context_length": trained,
        }


class Weights:
    """A GGUF file as Ollama is to receive it: its size, its digest, its bytes."""

    def __init__(
        self, path: str, pooling_type: str | None = None, context: int | None = None
    ) -> None:
        header = Header(path)
        self.path = path
        self._head, self._tail_start = b"", 0
        values = header.stretched(context) if context else {}
        if pooling_type is not None:
            values[f"{header.architecture}.pooling_type"] = POOLING_TYPES[pooling_type]
        if values:
            self._head = header.with_values(values)
            self._tail_start = header.data_start
        self.size = len(self._head) + max(header.size - self._tail_start, 0)

    def __repr__(self) -> str:
        return f"Weights({self.path}, {self.size} bytes)"

    def blocks(self):
        """Yield the content from its beginning."""
        yield self._head
        with open(self.path, "rb") as stream:
            stream.seek(self._tail_start)
            while block := stream.read(_BLOCK_BYTES):
                yield block

    def digest(self) -> str:
        """Return `sha256:...` of the content."""
        checksum = hashlib.sha256()
        for block in self.blocks():
            checksum.update(block)
        return "sha256:" + checksum.hexdigest()


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _typed(value: float | str) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _text(value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    return struct.pack("<II", _UINT32, value)


def _align(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
