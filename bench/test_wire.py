"""Ticks a second over loopback: the instrument's tables, with what needs a compiler; AllTick's also over TLS."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from compiled import NoCompiler, compiler, folder
from receivers import HERE, ours

from fastfeed.bench.gateway import Gateway
from fastfeed.bench.plan import FULL, Case, Plan
from fastfeed.bench.turns import Candidate
from fastfeed.bench.wire import case, cases

ENCRYPTED = (
    ours("fastfeed", "EncryptedFastfeed", work=0.1),
    ours("picows, msgspec", "EncryptedPicows", peer="picows", work=0.05),
)


def also(vendor: str) -> Sequence[Candidate]:
    """Return candidates that the instrument does not have."""
    if vendor == "longport":
        return [
            Candidate(
                "longbridge",
                "fastfeed.bench.longport_clients:SDK",
                {"package": "longbridge"},
                peer="longbridge",
                work=0.005,
                threads=True,
            )
        ]
    try:
        compiler()
    except NoCompiler:
        return []
    return [ours("C, decoding", "Decoding")] if vendor == "opend" else []


def measure(measured: Case, benchmark: Any, report: Any) -> None:
    """Run a case, and report its table."""
    folder()  # where workers find what another one built
    benchmark.group = "wire, whole tables"
    table, missing = benchmark.pedantic(measured.run, args=(lambda: None,), rounds=1)
    report.add_table(table)
    for each in missing:
        report.note(f"{table.name}: no {each.name}: {each.why}")


@pytest.mark.parametrize("measured", [*cases(Plan(), also)], ids=lambda each: each.name)
def test_wire(measured: Case, benchmark: Any, report: Any) -> None:
    measure(measured, benchmark, report)


@pytest.fixture
def certificate() -> Iterator[str]:
    """The path of a certificate with its key."""
    with tempfile.TemporaryDirectory(prefix="fastfeed-bench-") as made_in:
        key, made, both = (Path(made_in, f"{name}.pem") for name in ("key", "made", "both"))
        try:
            subprocess.run(
                [
                    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                    *("ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"),
                    *("-days", "2", "-keyout", str(key), "-out", str(made)),
                ],
                check=True,
                capture_output=True,
            )
        except FileNotFoundError:
            pytest.skip("no openssl")
        both.write_bytes(key.read_bytes() + made.read_bytes())
        yield str(both)


def test_encrypted(certificate: str, benchmark: Any, report: Any) -> None:
    def gateway(vendor: str, cores: Sequence[int]) -> Gateway:
        environment = {"PYTHONPATH": str(HERE), "FASTFEED_BENCH_CERTIFICATE": certificate}
        return Gateway(vendor, cores, module="encrypted_gateway", environment=environment)

    plan = Plan(("wire",), ("alltick",), FULL)
    measure(
        case(plan, "alltick", ENCRYPTED, more=", encrypted", gateway=gateway), benchmark, report
    )
