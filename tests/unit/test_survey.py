"""Folders of hubs looked at from outside: what lives, what is dead, what was left over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import fastfeed as ff
from fastfeed.cli.hubs import hubs
from fastfeed.readers import remove_dead_readers
from fastfeed.shared import folders, lock_file, remove, survey, user_folder

pytestmark = pytest.mark.usefixtures("shm")


@pytest.fixture
def dead() -> Path:
    """Return the folder of a hub whose writer is gone."""
    code = "import os, fastfeed; hub = fastfeed.Hub('dead', capacity=64); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
    return user_folder() / "dead"


def test_a_living_hub() -> None:
    with ff.Hub("md", capacity=64) as hub:
        [folder] = folders()
        before = survey(folder)
        assert (before.path, before.state, before.problem) == (folder, "alive", "")
        assert before.description is not None
        assert before.description.pid == os.getpid()
        hub.ticks.ring.write(np.zeros(10, hub.ticks.dtype).view(np.uint8))
        assert survey(folder).memory_bytes > before.memory_bytes > 0
        assert not remove(folder)
        assert survey(folder).state == "alive"
    assert folders() == []


def test_a_dead_hub(dead: Path) -> None:
    found = survey(dead)
    assert found.state == "dead"
    assert found.description is not None
    assert remove(dead)
    assert not user_folder().exists()


def test_a_dead_hub_of_another_layout(dead: Path) -> None:
    (dead / "hub").write_text('{"layout": 999, "version": "9.9"}')
    found = survey(dead)
    assert (found.state, found.description) == ("dead", None)
    assert "layout 999 of fastfeed '9.9'" in found.problem
    (dead / "hub").write_text('{"layout": "\\u001b[2J", "version": "\\u001b[2J"}')
    assert survey(dead).problem.isprintable()
    assert remove(dead)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"layout": 1}', b"\x00" * 100, b'{"layout": "\xff"}']
)
def test_a_description_that_is_garbage(dead: Path, data: bytes) -> None:
    (dead / "hub").write_bytes(data)
    found = survey(dead)
    assert (found.state, found.description) == ("dead", None)
    assert "does not describe a hub" in found.problem
    assert remove(dead)


def test_leftovers(dead: Path) -> None:
    (dead / "hub").unlink()
    assert survey(dead).state == "broken"
    (dead / "lock").unlink()
    assert survey(dead).state == "broken"
    assert remove(dead)
    empty = user_folder() / "empty"
    empty.mkdir(parents=True)
    assert survey(empty).state == "broken"
    assert remove(empty)


def test_a_hub_that_is_not_ready(dead: Path) -> None:
    (dead / "hub").unlink()
    fd = lock_file(dead / "lock", 0o600)
    assert fd is not None
    assert survey(dead).state == "starting"
    assert not remove(dead)
    os.close(fd)
    assert survey(dead).state == "broken"


def test_links_are_not_followed(dead: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.write_text("precious")
    (dead / "hub").unlink()
    (dead / "hub").symlink_to(target)
    assert survey(dead).state == "unknown"
    (user_folder() / "link").symlink_to(tmp_path)
    assert folders() == [dead]
    assert remove(dead)
    assert target.read_text() == "precious"


@pytest.mark.parametrize("size", [-1, 10**30])
@pytest.mark.parametrize("field", ["row_sizes", "capacities"])
def test_sizes_that_cannot_be_are_listed(dead: Path, field: str, size: int) -> None:
    about = json.loads((dead / "hub").read_bytes())
    about[field] = dict.fromkeys(about[field], size)
    (dead / "hub").write_text(json.dumps(about))
    result = CliRunner().invoke(hubs)
    assert result.exit_code == 0, result.exception
    assert "dead, removed" in result.output


def test_what_is_named_otherwise_is_no_hub(dead: Path) -> None:
    """It is neither shown nor removed."""
    for name in (b"bad\nname", b"\xff\xfe", b"\x1b[2J", b".hidden", b"n" * 65):
        os.mkdir(os.fsencode(user_folder()) + b"/" + name)
    assert folders() == [dead]


def test_files_of_readers() -> None:
    with ff.Hub("md", capacity=64):
        folder = user_folder() / "md"
        fd = lock_file(folder / "readers" / "1-0", 0o600)
        assert fd is not None
        (folder / "readers" / "2-0").touch()
        (folder / "readers" / "3-0").touch()
        found = survey(folder)
        assert (found.readers, found.dead_readers) == (("1-0",), ("2-0", "3-0"))
        assert remove_dead_readers(folder) == 2
        assert [path.name for path in (folder / "readers").iterdir()] == ["1-0"]
        os.close(fd)
        assert remove_dead_readers(folder) == 1
        assert remove_dead_readers(folder) == 0


def test_nothing_is_there() -> None:
    assert folders() == []
    assert survey(user_folder() / "md").state == "broken"
    assert remove_dead_readers(user_folder() / "md") == 0
    assert not remove(user_folder() / "md")
