# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import modelfile as _modelfile

DIGEST = "sha256:" + "a" * 64


def shown(label="", template="T", system="", parameters="", digest="a" * 64) -> dict:
    """A reply of /api/show in the shape Ollama 0.34.2 sends."""
    modelfile = f'# Modelfile\n# FROM x:y\n\nFROM /models/blobs/sha256-{digest}\nTEMPLATE "T"\n'
    return {
        "modelfile": modelfile,
        "template": template,
        "system": system,
        "parameters": parameters,
        "details": {"parent_model": label},
    }


def test_label_changes_with_weights_and_every_field_and_not_with_order():
    one = _modelfile.Definition(path="/x/m.gguf", parameters={"a": 1, "b": 2}, template="T")
    same = _modelfile.Definition(path="/y/m.gguf", template="T", parameters={"b": 2, "a": 1})
    other = _modelfile.Definition(path="/x/m.gguf", parameters={"a": 1}, template="T")
    assert one.label(DIGEST) == same.label(DIGEST)
    assert one.label(DIGEST) != other.label(DIGEST)
    assert one.label(DIGEST) != one.label("sha256:" + "b" * 64)


@pytest.mark.parametrize("name", ["we ird:näme.gguf", "..gguf", "a\\b.gguf"])
def test_label_is_a_relative_path_ollama_accepts(name):
    label = _modelfile.Definition(path=f"/x/{name}").label(DIGEST)
    assert label.startswith("intranet.mcp/")
    assert not set(label) & set('\\: "')
    assert ".." not in label.split("/")


def test_request_sends_weights_under_the_label():
    definition = _modelfile.Definition(path="/x/m.gguf", template="T", system="")
    assert definition.request("m:latest", DIGEST) == {
        "model": "m:latest",
        "files": {definition.label(DIGEST): DIGEST},
        "template": "T",
    }


def test_undeclared_fields_are_not_expected():
    definition = _modelfile.Definition(path="/x/m.gguf")
    assert set(definition.expected(DIGEST)) == {"weights", "label"}


def test_describe_reads_weights_and_typed_parameters():
    text = 'num_ctx                        8192\nstop    "<|im_end|>"\nstop    "a b"\ntop_p  0.5'
    current = _modelfile.describe(shown(parameters=text))
    assert current["weights"] == DIGEST
    assert current["parameters"] == {"num_ctx": 8192, "stop": ["<|im_end|>", "a b"], "top_p": 0.5}


def test_one_stop_word_equals_a_list_of_one():
    definition = _modelfile.Definition(path="/m.gguf", parameters={"stop": ["x"], "top_p": 1.0})
    current = _modelfile.describe(shown(parameters='stop "x"\ntop_p 1'))
    assert definition.expected(DIGEST)["parameters"] == current["parameters"]


def test_model_on_a_base_inherits_what_it_does_not_declare():
    base = shown(template="BASE", system="be kind", parameters="num_ctx 4096\ntop_p 0.5")
    definition = _modelfile.parse_modelfile("FROM base\nPARAMETER num_ctx 8192\n")
    assert definition.expected(None, base) == {
        "weights": DIGEST,
        "template": "BASE",
        "system": "be kind",
        "parameters": {"num_ctx": 8192, "top_p": 0.5},
    }
    assert definition.request("m", None) == {
        "model": "m",
        "from": "base",
        "parameters": {"num_ctx": 8192},
    }


def test_modelfile_with_every_instruction():
    definition = _modelfile.parse_modelfile(
        "# a comment\n"
        "FROM /models/m.gguf\n"
        'TEMPLATE """{{ .Prompt }}\n'
        'second line"""\n'
        'SYSTEM "short"\n'
        "PARAMETER stop a\n"
        'PARAMETER stop "b c"\n'
        "PARAMETER temperature 0.5\n"
        "MESSAGE user hello there\n"
        "LICENSE MIT\n"
    )
    assert definition.path == "/models/m.gguf"
    assert definition.fields == {
        "template": "{{ .Prompt }}\nsecond line",
        "system": "short",
        "license": "MIT",
        "parameters": {"stop": ["a", "b c"], "temperature": 0.5},
        "messages": [{"role": "user", "content": "hello there"}],
    }


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("SYSTEM x", "no FROM"),
        ("FROM a\nADAPTER ./lora", "ADAPTER"),
        ("FROM a\nnonsense", "nonsense"),
        ('FROM a\nSYSTEM """open', "never ends"),
    ],
)
def test_wrong_modelfiles_are_refused_with_the_place(content, found):
    with pytest.raises(Refused, match=found):
        _modelfile.parse_modelfile(content)
