"""The benches' samples: what they are made of, and how they look on the wire."""

from fastfeed.bench import longport_pushes, opend_pushes

KINDS = [
    *(("opend", kind) for kind in ("ticks", *opend_pushes.KINDS)),
    *(("alltick", kind) for kind in ("ticks", "books")),
    *(("longport", kind) for kind in longport_pushes.KINDS),
]
