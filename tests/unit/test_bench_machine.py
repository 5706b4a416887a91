"""What is known of the machine, and of its noise."""

import pytest

from fastfeed.bench import machine
from fastfeed.bench.results import Results


@pytest.fixture
def root(tmp_path):
    """Return a file system of a machine with a hypervisor and a governor."""
    cpu = tmp_path / "sys/devices/system/cpu"
    (cpu / "cpu0/cpufreq").mkdir(parents=True)
    (cpu / "intel_pstate").mkdir()
    (cpu / "cpu0/cpufreq/scaling_governor").write_text("performance\n")
    (cpu / "intel_pstate/no_turbo").write_text("1\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Some CPU: 3 GHz\nflags\t\t: fpu hypervisor avx2\n\n"
        "processor\t: 1\nmodel name\t: Another\nflags\t\t: fpu\n"
    )
    return tmp_path


@pytest.fixture
def quiet(monkeypatch):
    """Let nobody take anything of the core, unless a test says so."""
    taken = [(0, 0)]
    monkeypatch.setattr(machine, "jitter", lambda seconds: taken.pop(0) if taken[1:] else taken[0])
    return taken


def results():
    return Results(version="1", date="", command="")


def test_what_linux_tells(root):
    known = machine.describe(root=root)
    assert known["cpu"] == "Some CPU: 3 GHz"
    assert known["virtual"] is True
    assert known["governor"] == "performance"
    assert known["turbo"] is False
    (root / "sys/devices/system/cpu/intel_pstate/no_turbo").unlink()
    (root / "sys/devices/system/cpu/cpufreq").mkdir()
    (root / "sys/devices/system/cpu/cpufreq/boost").write_text("1\n")
    assert machine.describe(root=root)["turbo"] is True


def test_what_it_does_not_tell(tmp_path):
    known = machine.describe(["pytest", "no-such-distribution"], root=tmp_path)
    assert known["cpu"]
    assert known["virtual"] is False
    assert "governor" not in known
    assert "turbo" not in known
    assert "pytest" in known["packages"]
    assert "no-such-distribution" not in known["packages"]
    assert known["python_compiler"]
    assert known["extension"].startswith("opend.")


def test_the_noise_of_a_run(quiet, monkeypatch):
    quiet[:] = [(2_000_000, 150_000), (6_000_000, 900_000), (1_000_000, 100_000)]
    times = iter([100.0] * 7 + [130.0] * 7 + [104.0] * 7)
    monkeypatch.setattr(machine.Watch, "_work", lambda self: next(times))
    found = results()
    with machine.watched(found) as look:
        look()
    assert found.noise is not None
    assert found.noise.stolen == pytest.approx(0.009 / 0.6)
    assert found.noise.longest_us == 900.0
    assert found.noise.drift == pytest.approx(30 / 104)
    assert found.noise.work_us == 104.0
    assert ["took 29 % longer at times" in note for note in found.notes] == [True]


def test_the_fixed_work_is_work(quiet):
    watch = machine.Watch()
    assert watch.noise() is None
    watch.look()
    noise = watch.noise()
    assert noise is not None
    assert noise.stolen == 0.0
    assert noise.work_us > 1.0
    assert noise.drift == 0.0


def test_an_interrupted_run_has_what_was_seen(quiet):
    found = results()
    with pytest.raises(KeyboardInterrupt), machine.watched(found):
        raise KeyboardInterrupt
    assert found.noise is not None


def test_looking_pins_only_while_it_looks(quiet, monkeypatch):
    pinned = []
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: {0, 1, 2})
    monkeypatch.setattr(
        machine.os, "sched_setaffinity", lambda pid, cores: pinned.append(set(cores))
    )
    machine.Watch().look()
    assert pinned == [{2}, {0, 1, 2}]
