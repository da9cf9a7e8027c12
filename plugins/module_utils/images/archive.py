# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The docker command line, as far as images need it. Runs programs, leaves a log of each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest

HEARTBEAT_SECONDS = 20
SPEAKS_PLAINLY = {"BUILDKIT_PROGRESS": "plain", "LC_ALL": "C.UTF-8"}
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
TAIL_LINES = 15


class CommandError(Exception):
    """A program that failed; `tail` is the end of its output."""

    def __init__(self, message: str, tail: list[str]) -> None:
        super().__init__(message)
        self.tail = tail


class Runner:
    """Runs long programs: output to a log, steps and signs of life to `report`."""

    def __init__(self, report, timeout: int) -> None:
        self.report = report
        self.timeout = timeout

    def run(
        self, title: str, argv: list[str], log: str, append: bool = False, variables=None
    ) -> None:
        """Run a program to its end. Raises CommandError when it fails or takes too long."""
        os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, "a" if append else "w", encoding="utf-8", errors="replace") as stream:
            stream.write(f"$ {' '.join(argv)}\n")
            stream.flush()
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, **SPEAKS_PLAINLY, **(variables or {})},
            )
            watch = _Watch(title, self.report, process, self.timeout)
            try:
                for line in process.stdout:
                    stream.write(line)
                    watch.line(line)
                code = process.wait()
            finally:
                watch.stop()
                if process.poll() is None:
                    process.kill()
                    process.wait()
        if watch.is_late:
            raise CommandError(f"took longer than {self.timeout} s", watch.tail)
        if code != 0:
            raise CommandError(f"{argv[0]} ended with status {code}", watch.tail)


class _Watch:
    """Follows one program: its steps, its last lines, a line now and then while it is silent."""

    def __init__(self, title, report, process, timeout) -> None:
        self.title, self.report, self.process, self.timeout = title, report, process, timeout
        self.started = time.monotonic()
        self.step = ""
        self.tail: list[str] = []
        self.is_late = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._heartbeat, daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        text = _COLOURS.sub("", text).rstrip().rsplit("\r", 1)[-1]
        if not text.strip():
            return
        self.tail = [*self.tail[1 - TAIL_LINES :], text]
        step = manifest.build_step(text)
        if step:
            self.step = f"step {step[0]}/{step[1]}"
            # The other instructions take no time worth a line.
            if step[2].startswith("RUN "):
                self._say(f"{self.step} {step[2]}")

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _say(self, text: str) -> None:
        self.report(f"{self.title}: {text} ({time.monotonic() - self.started:.0f} s)")

    def _heartbeat(self) -> None:
        while not self._done.wait(HEARTBEAT_SECONDS):
            if time.monotonic() - self.started > self.timeout:
                self.is_late = True
                self.process.kill()
                return
            last = self.tail[-1].strip()[:80] if self.tail else "started"
            self._say(f"{self.step} ... {last}".strip())


class Engine:
    """What the docker program says and does. Nothing here decides."""

    def __init__(self, runner: Runner, program: str = "docker") -> None:
        self.runner = runner
        self.program = program

    def _output(self, *argv: str) -> tuple[int, str, str]:
        try:
            done = subprocess.run(
                [self.program, *argv],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        except FileNotFoundError as error:
            raise Unusable(
                f"{self.program} is not installed; expected the Docker command line: run the "
                "role intranet.mcp.docker first"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise Unusable(
                f"docker {argv[0]} gave no answer within 120 s; expected one at once: check the "
                "daemon's log"
            ) from error
        return done.returncode, done.stdout, done.stderr

    def inspect(self, references: list[str]) -> dict[str, dict]:
        """Return {reference: facts} of those that are there, by their tags."""
        found = {}
        for image in self._inspected(references):
            for tag in image.get("RepoTags") or []:
                found[tag] = _facts(image)
        return {name: found[name] for name in references if name in found}

    def facts(self, reference: str) -> dict | None:
        """Return what is known of one image, which may be named by digest."""
        found = self._inspected([reference])
        return _facts(found[0]) if found else None

    def _inspected(self, references: list[str]) -> list[dict]:
        if not references:
            return []
        code, output, errors = self._output("image", "inspect", *references)
        if code != 0 and "No such image" not in errors:
            raise Unusable(
                f"the Docker daemon does not answer ({errors.strip()[:300]}); expected a running "
                "engine that this user may use: run the role intranet.mcp.docker, or start it"
            )
        return json.loads(output or "[]")

    def pull(self, title: str, source: str, log: str, variables: dict) -> None:
        self.runner.run(title, [self.program, "pull", source], log, variables=variables)

    def push(self, title: str, reference: str, log: str, variables: dict) -> None:
        self.runner.run(title, [self.program, "push", reference], log, variables=variables)

    def tag(self, source: str, reference: str) -> None:
        code, _output, errors = self._output("tag", source, reference)
        if code != 0:
            raise CommandError(f"docker tag {source} {reference}: {errors.strip()}", [])

    def remove(self, reference: str) -> None:
        code, _output, errors = self._output("image", "rm", reference)
        if code != 0 and "No such image" not in errors:
            raise Unusable(
                f"{reference} cannot be removed ({errors.strip()}); expected that no container "
                "uses it: remove the container first"
            )

    def load(self, title: str, archive: str, log: str) -> None:
        self.runner.run(title, [self.program, "load", "--input", archive], log)

    def save(self, title: str, reference: str, archive: str, log: str) -> None:
        self.runner.run(title, [self.program, "save", "--output", archive, reference], log)

    def import_tar(self, title, tar, reference, changes, log) -> None:
        options = [word for change in changes for word in ("--change", change)]
        self.runner.run(title, [self.program, "import", *options, tar, reference], log, append=True)

    def build(self, title, context, reference, labels, arguments, log, append) -> None:
        # --force-rm: a failed step must not leave its container behind.
        argv = [self.program, "build", "--force-rm", "--tag", reference]
        for key, value in sorted(labels.items()):
            argv += ["--label", f"{key}={value}"]
        for key, value in sorted(arguments.items()):
            argv += ["--build-arg", f"{key}={value}"]
        self.runner.run(title, [*argv, context], log, append)


def _facts(image: dict) -> dict:
    labels = (image.get("Config") or {}).get("Labels") or {}
    return {
        "id": image["Id"],
        "recipe": labels.get(manifest.LABEL_RECIPE),
        "size": image.get("Size", 0),
        "architecture": image.get("Architecture"),
        "digests": image.get("RepoDigests") or [],
    }


def has_program(name: str) -> bool:
    """Tell whether a program is on PATH (sbin included, which sudo may drop)."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which(name, path=path) is not None
