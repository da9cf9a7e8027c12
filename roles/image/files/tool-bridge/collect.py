"""collect.py DIRECTORY: put Python, the gateway's packages and the libraries of both there."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

PYTHON = pathlib.Path(f"/usr/bin/python3.{sys.version_info.minor}")
STANDARD = pathlib.Path(f"/usr/lib/python3.{sys.version_info.minor}")
PACKAGES = pathlib.Path(f"/opt/gateway/lib/python3.{sys.version_info.minor}/site-packages")
# Nothing of the bridge imports these.
UNUSED = ("__pycache__", "test", "idlelib", "pydoc_data", "ensurepip", "lib2to3", "turtledemo")
UNUSED_MODULES = ("_dbm*", "_gdbm*", "_curses*", "_tkinter*", "readline*", "_sqlite3*")


def main(target: pathlib.Path) -> None:
    (target / "bin").mkdir(parents=True)
    shutil.copy(PYTHON, target / "bin" / "python3")
    ignored = shutil.ignore_patterns(*UNUSED, *UNUSED_MODULES)
    shutil.copytree(STANDARD, target / "lib" / STANDARD.name, ignore=ignored)
    shutil.copytree(PACKAGES, target / "packages", ignore=shutil.ignore_patterns("__pycache__"))
    found = [target / "bin" / "python3", *target.rglob("*.so")]
    for library in sorted({path for program in found for path in libraries(program)}):
        shutil.copy(library, target / "lib" / pathlib.Path(library).name)
    shutil.copy(loader(PYTHON), target / "ld.so")


def libraries(program: pathlib.Path) -> list[str]:
    """Return the files that the loader would load for a program."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    missing = re.findall(r"(\S+) => not found", said)
    if missing:
        sys.exit(
            f"{program} needs {', '.join(missing)}, which is not there; expected it in the image"
        )
    return re.findall(r"=> (/\S+)", said)


def loader(program: pathlib.Path) -> str:
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^\s*(/\S*ld-linux\S*)", said, re.M)[0]


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
