"""The descriptors: made from protos/, and at peace with the vendors' packages."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from fastfeed.protocols import opend_messages
from fastfeed.protocols.opend_messages import message_class

ROOT = Path(__file__).parents[2]
PACKAGE = Path(opend_messages.__file__).parent


@pytest.mark.parametrize("vendor", ["opend", "longport"])
def test_the_descriptor_set_is_what_protoc_makes(vendor, tmp_path):
    pytest.importorskip("grpc_tools")
    out = tmp_path / f"{vendor}.binpb"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", "-Iprotos",
         f"--descriptor_set_out={out}", f"protos/{vendor}.proto"],
        cwd=ROOT, check=True,
    )  # fmt: skip
    assert out.read_bytes() == (PACKAGE / f"{vendor}.binpb").read_bytes(), "run `make protos`"


@pytest.mark.parametrize("vendor", ["futu", "moomoo"])
@pytest.mark.parametrize("order", ["ours first", "theirs first"])
def test_no_clash_with_the_vendors_modules(vendor, order):
    if importlib.util.find_spec(vendor) is None:
        pytest.skip(f"{vendor}-api is not installed")
    ours = "from fastfeed.protocols.opend_messages import message_class; M = message_class"
    ours += "; R = M('QotUpdateTicker.Response')"
    # The packages themselves write log folders when imported; their message modules do not.
    theirs = (
        "import importlib.util, os, sys, types;"
        f"root = os.path.dirname(importlib.util.find_spec({vendor!r}).origin);"
        f"top, common = types.ModuleType({vendor!r}), types.ModuleType('{vendor}.common');"
        "top.__path__, common.__path__ = [root], [os.path.join(root, 'common')];"
        f"sys.modules |= {{{vendor!r}: top, '{vendor}.common': common}};"
        f"from {vendor}.common.pb import InitConnect_pb2, Notify_pb2, Qot_Sub_pb2;"
        f"from {vendor}.common.pb import Qot_UpdateTicker_pb2"
    )
    use = (
        "r = R(retType=0); r.s2c.security.market = 1; r.s2c.security.code = '00700';"
        "t = r.s2c.tickerList.add(time='x', sequence=1, dir=1, price=1.5, volume=1, turnover=1.5);"
        "b = r.SerializeToString();"
        "v = Qot_UpdateTicker_pb2.Response.FromString(b);"
        "assert v.SerializeToString() == b and v.s2c.tickerList[0].price == 1.5;"
        "print('good')"
    )
    lines = [ours, theirs] if order == "ours first" else [theirs, ours]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, use])],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "good\n", done.stderr


def test_message_classes():
    assert message_class("QotSub.Request") is message_class("QotSub.Request")
    with pytest.raises(KeyError):
        message_class("QotSub.Nothing")
    request = message_class("InitConnect.Request")()
    request.c2s.clientVer = 300
    request.c2s.clientID = "PyNormal"
    request.c2s.packetEncAlgo = -1
    assert request.SerializeToString().hex() == (
        "0a1808ac02120850794e6f726d616c20ffffffffffffffffff01"
    )
