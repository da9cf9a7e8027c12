# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Asks a credential helper of the docker program for the login at a registry."""

from __future__ import annotations

import json
import os
import signal
import subprocess

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

PROGRAM = "docker-credential-{}"
# What helpers say, and exit with 1, when they keep no login for an address.
_NOT_FOUND = "credentials not found"


def ask(name: str, server: str, seconds: float) -> tuple[str, str] | None:
    """Return user and password that a helper keeps for an address, or None where it keeps none."""
    program = PROGRAM.format(name)
    code, said, error = _run([program, "get"], f"{server}\n".encode(), seconds)
    text = (said + error).decode(errors="replace")
    if code:
        if _NOT_FOUND in text:
            return None
        reason = text.strip()[-200:] or "it said nothing"
        raise Unusable(f"{program} ended with {code}: {reason}")
    try:
        found = json.loads(said)
        return str(found["Username"]), str(found["Secret"])
    except (ValueError, TypeError, KeyError) as error:
        raise Unusable(f"{program} answered with something else than a login") from error


def _run(command: list[str], given: bytes, seconds: float) -> tuple[int, bytes, bytes]:
    """Run a program that may wait for somebody to type, and end it with all that it started."""
    pipe = subprocess.PIPE
    try:
        program = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
    except OSError as error:
        raise Unusable(f"{command[0]} cannot be run: {error.strerror}") from error
    with program:
        try:
            said, error = program.communicate(given, timeout=seconds)
        except subprocess.TimeoutExpired as late:
            os.killpg(program.pid, signal.SIGKILL)
            raise Unusable(f"{command[0]} gave no answer within {seconds:.0f} s") from late
    return program.returncode, said, error
