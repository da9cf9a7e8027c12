# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What brings models into Ollama's store, and what says that they are there: with a fake Ollama."""

from __future__ import annotations

import os
import subprocess

import pytest
import support

FILES = support.REPOSITORY / "roles" / "ollama" / "files"
SOURCE = "registry.example.internal/library/qwen3:8b"
# A store of a file for each model, which holds its id; the registry is another such folder.
OLLAMA = """#!/bin/sh
echo "$@" >> "$FOLDER/said"
key() { echo "$1" | tr / _; }
case "$1" in
serve) exec sleep 60 ;;
list)
    printf 'NAME ID SIZE MODIFIED\\n'
    for file in "$FOLDER"/store/*; do
        [ -e "$file" ] || continue
        printf '%s %s 5.2 GB now\\n' "$(basename "$file" | tr _ /)" "$(cat "$file")"
    done
    ;;
pull) cp "$FOLDER/registry/$(key "$2")" "$FOLDER/store/" ;;
cp) cp "$FOLDER/store/$(key "$2")" "$FOLDER/store/$(key "$3")" ;;
rm) rm "$FOLDER/store/$(key "$2")" ;;
esac
"""


@pytest.fixture
def ollama(tmp_path):
    for name in ("store", "registry"):
        (tmp_path / name).mkdir()
    program = tmp_path / "ollama"
    program.write_text(OLLAMA.replace("\\\\", "\\"))
    program.chmod(0o755)
    (tmp_path / "registry" / SOURCE.replace("/", "_")).write_text("abc123")
    return tmp_path


def run(folder, script, *arguments):
    return subprocess.run(
        ["sh", script, *arguments],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "FOLDER": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def load(folder, *models):
    return run(folder, FILES / "load.sh", *models)


def store(folder):
    return {path.name: path.read_text() for path in (folder / "store").iterdir()}


def pulls(folder):
    return [line for line in (folder / "said").read_text().splitlines() if line.startswith("pull")]


def test_a_model_comes_from_the_registry_under_its_own_name_once(ollama):
    for _run in range(2):
        done = load(ollama, f"qwen3:8b {SOURCE} abc123def")
        assert done.returncode == 0, done.stderr
    assert store(ollama) == {"qwen3:8b": "abc123"}
    assert pulls(ollama) == [f"pull {SOURCE}"]


def test_a_model_of_another_digest_is_pulled_anew(ollama):
    (ollama / "store" / "qwen3:8b").write_text("old")
    assert load(ollama, f"qwen3:8b {SOURCE} -").returncode == 0
    assert pulls(ollama) == []
    assert load(ollama, f"qwen3:8b {SOURCE} abc123def").returncode == 0
    assert store(ollama) == {"qwen3:8b": "abc123"}


def test_what_arrives_with_another_digest_ends_it(ollama):
    done = load(ollama, f"qwen3:8b {SOURCE} fff")
    assert done.returncode == 1 and "expected the beginning of fff" in done.stderr
    assert "qwen3:8b" not in store(ollama)


def test_a_registry_that_lacks_it_ends_it(ollama):
    assert load(ollama, "other:1 registry.example.internal/library/other:1 -").returncode != 0


def test_a_model_that_is_to_go_goes(ollama):
    (ollama / "store" / "gone:1").write_text("x")
    assert load(ollama, "gone:1", "never:1").returncode == 0
    assert store(ollama) == {}


def test_it_is_ready_once_every_model_is_there(ollama):
    script = ollama / "ready.sh"
    text = (FILES / "ready.sh").read_text()
    text = text.replace("/config/models", str(ollama / "models"))
    script.write_text(text.replace("/dev/shm", str(ollama)))
    (ollama / "models").write_text("qwen3:8b\nother:1\n")
    (ollama / "store" / "qwen3:8b").write_text("x")
    (ollama / "store" / "another:1").write_text("x")  # its name ends alike
    done = run(ollama, script)
    assert done.returncode == 1 and "other:1 is not there yet" in done.stderr
    (ollama / "store" / "other:1").write_text("x")
    assert run(ollama, script).returncode == 0
    # Another one is declared, and comes: those that are there are served meanwhile.
    (ollama / "models").write_text("qwen3:8b\nother:1\nnew:1\n")
    assert run(ollama, script).returncode == 0
    (ollama / "ollama").write_text("#!/bin/sh\nexit 1\n")
    assert run(ollama, script).returncode == 1
