"""Become another program, with secrets from files in its environment.

For images of others, which may have no shell to do it. The configuration is JSON: `argv`, `env`
(values), `secrets` (names and files), and `hidden` (names that belong to this program alone).
"""

from __future__ import annotations

import json
import os
import signal
import sys


def main(argv: list[str]) -> None:
    """Entry point of `python -m mcp_gateway.launch FILE`."""
    (path,) = argv
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    program = config["argv"]
    env = environment(config, os.environ)
    # Python ignores these; a program that inherits that writes on after its reader has left.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(program[0], program, env)  # noqa: S606  it may have no shell
    except OSError as error:
        sys.exit(
            f"cannot start {program[0]}: {error.strerror}; expected a program of the image: "
            "correct command in the entry of mcp_servers"
        )


def environment(config: dict, inherited: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """The program's environment."""
    env = {name: value for name, value in inherited.items() if name not in config["hidden"]}
    env.update(config["env"])
    for name, path in config["secrets"].items():
        with open(path, encoding="utf-8") as file:
            env[name] = file.read().rstrip("\n")
    return env


if __name__ == "__main__":
    main(sys.argv[1:])
