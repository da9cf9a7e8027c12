# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.ollama.sources import FileSource

DIGEST = "sha256:" + "ab" * 32
STOP = 'stop  "<|im_end|>"'


def source(**parameters):
    options = {
        "path": "/weights/m.gguf",
        "checksum": DIGEST,
        "pooling_type": None,
        "context": None,
        "template": None,
        "system": None,
        "parameters": parameters,
    }
    return FileSource(None, options)


def shown(made_from, *lines):
    """What Ollama says of a model made from this source, with these parameters."""
    return {
        "modelfile": f"FROM /root/.ollama/models/blobs/{DIGEST.replace(':', '-')}\n",
        "details": {"parent_model": made_from.definition.label(DIGEST)},
        "parameters": "\n".join(lines),
    }


def test_stop_words_that_ollama_added_are_no_difference():
    wanted = source(num_ctx=8192)
    assert wanted.difference(shown(wanted, "num_ctx  8192", STOP)).is_empty


def test_another_parameter_is_a_difference():
    wanted = source(num_ctx=8192)
    assert wanted.difference(shown(wanted, "num_ctx  4096", STOP)).fields == ["parameters"]


@pytest.mark.parametrize("line", ["num_ctx  8192", f"num_ctx  8192\n{STOP}"])
def test_own_stop_words_are_compared(line):
    wanted = source(num_ctx=8192, stop=["</s>"])
    assert wanted.difference(shown(wanted, line)).fields == ["parameters"]


def test_stop_words_of_ours_that_were_dropped_show_in_the_label():
    wanted, before = source(num_ctx=8192), source(num_ctx=8192, stop=["<|im_end|>"])
    assert wanted.difference(shown(before, "num_ctx  8192", STOP)).fields == ["label"]
