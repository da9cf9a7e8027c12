# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What Ollamas tell of their models, as numbers for Prometheus; Ollama itself has none.

`/probe?target=http://host:port` asks one of the Ollamas that it is configured for, and no others,
so that it opens no way to anywhere else.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import http.client
import http.server
import json
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

# Told before Prometheus stops waiting, which it does after 5 s where it asks that often.
ANSWER_SECONDS = 4
MAX_BODY_BYTES = 8 << 20
# Longest silence of who asks.
CLIENT_SECONDS = 10

HELP = {
    "ollama_up": "Whether Ollama answers.",
    "ollama_model_size_bytes": "Size of a model on disk.",
    "ollama_model_present": "Whether Ollama has a model that the inventory declares.",
    "ollama_kept_model_loaded": "Whether a model is in memory that the inventory keeps there.",
    "ollama_loaded_model_bytes": "Memory that a loaded model takes.",
    "ollama_loaded_model_vram_bytes": "Part of that memory on a GPU.",
    "ollama_loaded_model_expires_timestamp_seconds": "When it leaves memory unless it is used.",
    "ollama_loaded_model_off_gpu": "Whether nothing of a model is on the GPU that the host has.",
}
Sample = tuple[str, dict[str, str], float]


def samples(
    tags: dict[str, Any], loaded: dict[str, Any], expected: dict, gpu: bool
) -> list[Sample]:
    """Return numbers out of what `/api/tags` and `/api/ps` answered. Pure.

    expected: models (declared) and kept (in memory for good). gpu: whether the host has one.
    """
    present = {model["name"]: model for model in tags.get("models") or []}
    running = {model["name"]: model for model in loaded.get("models") or []}
    found: list[Sample] = [("ollama_up", {}, 1)]
    found += [
        ("ollama_model_size_bytes", {"model": name}, model.get("size", 0))
        for name, model in present.items()
    ]
    found += [
        ("ollama_model_present", {"model": name}, full_name(name) in present)
        for name in expected["models"]
    ]
    found += [
        ("ollama_kept_model_loaded", {"model": name}, full_name(name) in running)
        for name in expected["kept"]
    ]
    for name, model in running.items():
        found += _of_loaded({"model": name}, model, gpu)
    return found


def _of_loaded(labels: dict[str, str], model: dict[str, Any], gpu: bool) -> list[Sample]:
    vram = model.get("size_vram", 0)  # left out where it is nothing
    found: list[Sample] = [
        ("ollama_loaded_model_bytes", labels, model.get("size", 0)),
        ("ollama_loaded_model_vram_bytes", labels, vram),
    ]
    expires = seconds_of(model.get("expires_at", ""))
    if expires is not None:
        found.append(("ollama_loaded_model_expires_timestamp_seconds", labels, expires))
    if gpu:
        found.append(("ollama_loaded_model_off_gpu", labels, vram == 0))
    return found


def full_name(name: str) -> str:
    """Return a model's name with the tag that Ollama adds where there is none. Pure."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def seconds_of(moment: str) -> float | None:
    """Return an RFC 3339 moment as seconds since 1970; None where it is none. Pure."""
    try:
        found = datetime.datetime.fromisoformat(moment)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo and found.year > 1 else None


def rendered(found: list[Sample]) -> str:
    """Return samples in Prometheus's text format. Pure."""
    lines = []
    for name, text in HELP.items():
        own = [(labels, value) for sample, labels, value in found if sample == name]
        if own:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
            lines += [f"{name}{_labelled(labels)} {float(value):.17g}" for labels, value in own]
    return "\n".join(lines) + "\n"


def _labelled(labels: dict[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def asked(target: str, path: str) -> dict[str, Any]:
    """Return what an Ollama answers; raises OSError or ValueError where it does not."""
    place = urlsplit(target)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(MAX_BODY_BYTES)
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"{path} answers {answer.status}")
    return json.loads(body)


def probed(target: str, config: dict[str, Any]) -> str:
    """Ask an Ollama both questions at once and return its numbers; away, that it is not up."""
    # Not waited for at the end: looking up a name has no timeout of its own.
    pool = concurrent.futures.ThreadPoolExecutor(2)
    jobs = [pool.submit(asked, target, path) for path in ("/api/tags", "/api/ps")]
    ends_at = time.monotonic() + ANSWER_SECONDS
    try:
        tags, loaded = (job.result(max(0, ends_at - time.monotonic())) for job in jobs)
        return rendered(samples(tags, loaded, config, target in config["gpu"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        told = str(error) or f"no answer within {ANSWER_SECONDS} s"
        print(f"{target}: {told}", file=sys.stderr, flush=True)
        return rendered([("ollama_up", {}, 0)])
    finally:
        pool.shutdown(wait=False)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers Prometheus."""

    config: dict[str, Any] = {}
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        """Answer a probe; `/` says that the exporter is alive."""
        asked_for = urlsplit(self.path)
        target = parse_qs(asked_for.query).get("target", [""])[0]
        if asked_for.path == "/":
            self._send(200, "ollama_exporter\n")
        elif asked_for.path != "/probe":
            self._send(404, "only / and /probe\n")
        elif target not in self.config["targets"]:
            self._send(403, "not a target of this exporter\n")
        else:
            self._send(200, probed(target, self.config))

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_arguments: object) -> None:
        """Say nothing of requests: there is one every few seconds."""


def server(port: int, config: dict[str, Any]) -> http.server.ThreadingHTTPServer:
    """Return a server that answers with this configuration (targets, gpu, models, kept)."""
    handler = type("Configured", (Handler,), {"config": config})
    made = http.server.ThreadingHTTPServer(("", port), handler)
    made.daemon_threads = True
    return made


def main(port: str, path: str) -> None:
    """Serve with the configuration in a file."""
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    server(int(port), config).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
