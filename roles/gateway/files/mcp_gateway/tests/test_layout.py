"""How the package is laid out: imports go one way, files and functions fit a reader's eye."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import mcp_gateway

ROOT = Path(mcp_gateway.__file__).parent
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40


def modules():
    """(dotted name, path below the package, source) of each module."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = [ROOT.name, *path.relative_to(ROOT).with_suffix("").parts]
        name = ".".join(parts).removesuffix(".__init__")
        yield name, path.relative_to(ROOT).as_posix(), path.read_text()


def imports(source, known):
    """The package's modules that a source imports: at its top, in functions, for types alone."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
    return found & known


def test_no_import_goes_in_a_circle():
    sources = {name: source for name, _, source in modules()}
    known = set(sources)
    assert len(known) > 50
    graph = {name: imports(source, known) - {name} for name, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' <- '.join(error.args[1])}") from None


def test_files_and_functions_are_short():
    files, functions = {}, {}
    for _, path, source in modules():
        files[path] = len(source.splitlines())
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                where = f"{path}:{node.lineno} {node.name}"
                functions[where] = node.end_lineno - node.lineno + 1
    assert {f: n for f, n in files.items() if n > MAX_FILE_LINES} == {}
    assert {f: n for f, n in functions.items() if n > MAX_FUNCTION_LINES} == {}
