"""Dependencies point one way, and importing the package does nothing but import it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fastfeed"

#: From the ground up; a module imports from layers below its own, or from its own. What is not
#: named here belongs to the package's surface, which may import everything but the command line.
LAYERS = [
    ("fastfeed.errors",),
    ("fastfeed.protocols",),
    ("fastfeed._core",),
    (
        "fastfeed.schema",
        "fastfeed.callbacks",
        "fastfeed.shared",
        "fastfeed.readers",
        "fastfeed.html",
    ),
    ("fastfeed.hub", "fastfeed.stats", "fastfeed.stream", "fastfeed.decoder", "fastfeed.captures"),
    ("fastfeed.feeds", "fastfeed.sim", "fastfeed.sinks", "fastfeed.attach"),
    ("fastfeed", "fastfeed.connect"),
    ("fastfeed.bench",),
    ("fastfeed.cli", "fastfeed.__main__"),
]


def layer(module):
    best, found = -1, len(LAYERS) - 3
    for number, prefixes in enumerate(LAYERS):
        for prefix in prefixes:
            if (module == prefix or module.startswith(prefix + ".")) and len(prefix) > best:
                best, found = len(prefix), number
    return found


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name):
    base = ROOT.joinpath(*name.split("."))
    return base.is_dir() or any(base.with_suffix(s).exists() for s in (".py", ".pyx", ".pxd"))


def python_imports(path):
    """Yield the modules imported at run time, inside of functions as well."""
    package = (
        module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    )
    todo = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            todo += node.orelse
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole.startswith("fastfeed.") and is_module(whole) else base


def cython_imports(path):
    text = re.sub(r"#.*", "", path.read_text())
    yield from re.findall(r"^\s*from\s+([\w.]+)\s+c?import\b", text, re.MULTILINE)
    for names in re.findall(r"^\s*c?import\s+([\w., ]+)$", text, re.MULTILINE):
        yield from (name.split(" as ")[0].strip() for name in names.split(","))


SOURCES = sorted(p for s in ("*.py", "*.pyx", "*.pxd") for p in PACKAGE.rglob(s))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_dependencies_point_down(path):
    mine = module_name(path)
    imports = python_imports(path) if path.suffix == ".py" else cython_imports(path)
    for name in imports:
        if name == "fastfeed" or name.startswith("fastfeed."):
            assert layer(name) <= layer(mine), f"{mine} imports {name}"


def test_the_linter_sees_what_it_should():
    assert layer("fastfeed.errors") < layer("fastfeed.protocols.opend_codes")
    assert layer("fastfeed.protocols.x") < layer("fastfeed._core.ring") < layer("fastfeed.stream")
    assert layer("fastfeed.hub") < layer("fastfeed.feeds.opend") == layer("fastfeed.sim.server")
    assert layer("fastfeed.feeds.opend") < layer("fastfeed") < layer("fastfeed.cli.main")
    found = set(cython_imports(PACKAGE / "_core" / "opend.pyx"))
    assert {"fastfeed._core.native", "fastfeed._core.machine", "fastfeed.errors", "cython"} <= found
    assert "google.protobuf" in set(python_imports(PACKAGE / "protocols" / "descriptors.py"))
    assert len(SOURCES) > 10


PROBE = """
import logging, sys, threading

# What fastfeed itself needs is imported before anybody watches.
import asyncio, importlib.resources
import google.protobuf.descriptor_pb2, google.protobuf.message_factory, msgspec, numpy, uvloop

done = []
WATCHED = "open", "socket.__new__", "socket.connect", "subprocess.Popen", "os.mkdir", "os.putenv"

def watch(event, args):
    if event in WATCHED:
        what = str(args[0]) if args else ""
        # Reading modules is what an import does.
        if event != "open" or not (what.isdigit() or what.endswith(SOURCES) or "finder" in what):
            done.append((event, what))

SOURCES = ".py", ".pyc", ".so", ".json"
threading.Thread.start = lambda self: done.append(("thread", self))
sys.addaudithook(watch)
import fastfeed
found = list(done)
assert not found, found
assert threading.active_count() == 1, threading.enumerate()
optional = {name.partition(".")[0] for name in sys.modules} & OPTIONAL
assert not optional, optional
assert "fastfeed.cli" not in sys.modules
assert "fastfeed.sim" not in sys.modules
assert not logging.root.handlers
print("good")
"""
OPTIONAL = {
    *(
        "aiohttp",
        "rich",
        "pandas",
        "polars",
        "pyarrow",
        "duckdb",
        "futu",
        "moomoo",
        "longport",
        "longbridge",
    ),
    *("cryptography", "nats", "prometheus_client", "matplotlib", "picows", "websockets"),
    *("pytest", "hypothesis", "grpc_tools"),
}


def test_importing_the_package_does_nothing_else():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"OPTIONAL = {OPTIONAL!r}\n{PROBE}"],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT / "tests",
    )  # fmt: skip
    assert done.stdout == "good\n", done.stderr
