"""Ticks a second over loopback: the instrument's tables, with what needs a compiler; AllTick's also over TLS."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from compiled import NoCompiler, compiler
from receivers import HERE, ours

from fastfeed.bench.gateway import Gateway
from fastfeed.bench.plan import Case, Plan
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


@pytest.mark.parametrize("measured", [*cases(Plan(), also)], ids=lambda case: case.name)
def test_wire(measured: Case, measure: Any) -> None:
    measure(measured)


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


def test_encrypted(certificate: str, measure: Any) -> None:
    def gateway(vendor: str, cores: Sequence[int]) -> Gateway:
        environment = {"PYTHONPATH": str(HERE), "FASTFEED_BENCH_CERTIFICATE": certificate}
        return Gateway(vendor, cores, module="encrypted_gateway", environment=environment)

    measure(case(Plan(), "alltick", ENCRYPTED, more=", encrypted", gateway=gateway))
