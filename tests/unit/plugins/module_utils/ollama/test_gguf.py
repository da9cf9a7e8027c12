# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import struct

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import gguf as _gguf


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(values: list[bytes], weights: bytes = b"WEIGHTS" * 10, alignment: int = 32) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(values)) + b"".join(values)
    head += (
        text("blk.0") + struct.pack("<I", 2) + struct.pack("<QQ", 4, 4) + struct.pack("<IQ", 0, 0)
    )
    return head + b"\0" * (-len(head) % alignment) + weights


ARCHITECTURE = text("general.architecture") + struct.pack("<I", 8) + text("llama")
TOKENS = text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
NUMBERS = text("numbers") + struct.pack("<IIQ", 9, 6, 3) + struct.pack("<fff", 1, 2, 3)
POOLING = text("llama.pooling_type") + struct.pack("<II", 4, 0)


@pytest.fixture
def write(tmp_path):
    def write(content: bytes):
        path = tmp_path / "model.gguf"
        path.write_bytes(content)
        return str(path)

    return write


def content(weights: _gguf.Weights) -> bytes:
    return b"".join(weights.blocks())


def test_header_knows_architecture_and_where_weights_begin(write):
    header = _gguf.Header(write(gguf([ARCHITECTURE, TOKENS, NUMBERS])))
    assert header.architecture == "llama"
    assert header.data_start % 32 == 0
    assert header.size - header.data_start == 70


def test_untouched_weights_are_the_file(write):
    original = gguf([ARCHITECTURE, TOKENS])
    weights = _gguf.Weights(write(original))
    assert content(weights) == original
    assert weights.size == len(original)
    assert weights.digest() == "sha256:" + hashlib.sha256(original).hexdigest()


@pytest.mark.parametrize("values", [[ARCHITECTURE, TOKENS], [ARCHITECTURE, POOLING, NUMBERS]])
def test_pooling_type_is_set_and_weights_stay(write, tmp_path, values):
    weights = _gguf.Weights(write(gguf(values)), pooling_type="mean")
    changed = content(weights)
    assert len(changed) == weights.size
    copy = tmp_path / "changed.gguf"
    copy.write_bytes(changed)
    header = _gguf.Header(str(copy))
    assert header.values["llama.pooling_type"] == 1
    assert header.architecture == "llama"
    assert changed[header.data_start :] == b"WEIGHTS" * 10


def test_pooling_type_respects_the_files_own_alignment(write, tmp_path):
    alignment = text("general.alignment") + struct.pack("<II", 4, 128)
    weights = _gguf.Weights(write(gguf([ARCHITECTURE, alignment], alignment=128)), "cls")
    copy = tmp_path / "changed.gguf"
    copy.write_bytes(content(weights))
    header = _gguf.Header(str(copy))
    assert header.data_start % 128 == 0
    assert content(weights)[header.data_start :] == b"WEIGHTS" * 10


@pytest.mark.parametrize("damaged", [b"", b"PK\3\4" + b"x" * 100, gguf([ARCHITECTURE])[:60]])
def test_other_files_are_refused_with_their_name(write, damaged):
    with pytest.raises(Refused, match=r"model\.gguf"):
        _gguf.Weights(write(damaged))


CONTEXT = text("llama.context_length") + struct.pack("<II", 4, 8192)
SCALING = text("llama.rope.scaling.type") + struct.pack("<I", 8) + text("linear")


def test_weights_are_stretched_to_more_context_than_they_were_trained_for(write, tmp_path):
    weights = _gguf.Weights(write(gguf([ARCHITECTURE, CONTEXT, TOKENS])), context=65536)
    changed = content(weights)
    copy = tmp_path / "changed.gguf"
    copy.write_bytes(changed)
    header = _gguf.Header(str(copy))
    assert len(changed) == weights.size
    assert header.values["llama.context_length"] == 65536
    assert header.values["llama.rope.scaling.original_context_length"] == 8192
    assert {"llama.rope.scaling.type", "llama.rope.scaling.factor"} <= header.keys
    assert struct.pack("<If", 6, 8.0) in changed
    assert changed[header.data_start :] == b"WEIGHTS" * 10


@pytest.mark.parametrize("context", [4096, 8192])
def test_weights_that_read_enough_stay_as_they_are(write, context):
    original = gguf([ARCHITECTURE, CONTEXT])
    assert content(_gguf.Weights(write(original), context=context)) == original


def test_weights_with_a_scaling_of_their_own_are_not_stretched(write):
    with pytest.raises(Refused, match=r"65536.*8192"):
        _gguf.Weights(write(gguf([ARCHITECTURE, CONTEXT, SCALING])), context=65536)
