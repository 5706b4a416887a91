"""The version is told the same everywhere."""

import ast
import pathlib
import re
import tomllib

import fastfeed

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_version_is_the_newest_in_the_changelog():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## (\S+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert fastfeed.__version__ == project["version"] == newest[1]


def test_readme_examples_compile():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        assert len([line for line in block.splitlines() if line.strip()]) <= 15


def test_readme_is_finished():
    assert "@@" not in (ROOT / "README.md").read_text()
