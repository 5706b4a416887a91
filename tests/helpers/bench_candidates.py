"""Candidates of benches that do something wrong."""

import numpy as np

from fastfeed.bench.opend_decoders import ProtobufRows
from fastfeed.bench.samples import Sample


class OneBitOff(ProtobufRows):
    """Has one price that is not quite right."""

    def run(self):
        super().run()
        self._rows["price"][17] = np.nextafter(self._rows["price"][17], np.inf)


class LosesOne(ProtobufRows):
    """Leaves out the last push."""

    def __init__(self, sample):
        fewer = sample.bodies[:-1]
        super().__init__(
            Sample(sample.vendor, sample.kind, sample.symbols, sample.rows_each, fewer)
        )


class ShowsNothing(ProtobufRows):
    """Cannot be compared."""

    def digests(self):
        return {}


class CannotBegin(ProtobufRows):
    """Lacks something."""

    def __init__(self, sample):
        raise RuntimeError("no compiler")


class EndsIts(ProtobufRows):
    """Takes its process with it, in the middle of a round."""

    def digests(self):
        self.run = lambda: None
        return super().digests()

    def run(self):
        if len(self.sample.bodies) != 300:
            raise SystemExit(3)
        super().run()
