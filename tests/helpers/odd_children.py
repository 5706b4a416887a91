"""Children of the bench that do what none should; as a module: `python -m odd_children WHAT`."""

import os
import sys
import time

from fastfeed.bench.gateway import Gateway
from fastfeed.bench.process import Process


class Fine:
    """A candidate."""

    def round(self):
        return {"seconds": 0.1}


class Hangs(Fine):
    """Has a round that does not end."""

    def round(self):
        time.sleep(3600)


class Broken(Fine):
    """Cannot be made."""

    def __init__(self):
        raise ImportError("a library\nis missing: libx.so")


def main(what):
    if what == "hang":
        print("begun", flush=True)
        time.sleep(3600)
    elif what == "nonsense":
        print("{nonsense", flush=True)
    elif what == "number":
        print("1", flush=True)
    elif what == "not text":
        os.write(1, b"\xff\xfe\n")
    elif what == "endless":
        while True:
            os.write(1, b"x" * 100_000)
    elif what == "closed":
        os.write(2, b"Traceback:\n  somewhere\nlast words\n")
        os.close(1)
        time.sleep(3600)
    elif what == "lines":
        os.write(1, b"one\n\n" + b"x" * 200_000 + b'\n{"a": ')
        time.sleep(0.01)
        os.write(1, b"1}\n")
        sys.exit(3)
    elif what == "parent of a worker":
        child = Process("fastfeed.bench.worker")
        child.tell(factory="odd_children:Fine", options={}, cores=[], path=sys.path)
        child.answer()
        print(child.child.pid, flush=True)
        time.sleep(3600)
    elif what == "parent of a gateway":
        print(Gateway("opend").child.pid, flush=True)
        time.sleep(3600)


if __name__ == "__main__":
    main(sys.argv[1])
