# SPDX-License-Identifier: MIT
"""What a PMU traced into an AUX buffer: guest-images/probes/aux.c."""

from typing import Literal, NamedTuple

from harness.model import Frozen

# PERF_AUX_FLAG_TRUNCATED and _OVERWRITE: include/uapi/linux/perf_event.h.
TRUNCATED, OVERWRITE = 1, 2
# Bytes of a word, and where a stretch begins: guest-images/modules/pmu_test.c.
WORD, ALIGNMENT = 8, 64


class TraceWords(NamedTuple):
    """Words of a trace: how many, the first and the last, how many do not follow the one before."""

    number: int
    first: int
    last: int
    breaks: int


NO_WORDS = TraceWords(0, 0, 0, 0)


class Aux(Frozen):
    """PERF_RECORD_AUX: a `stretch` of a trace that was written, `size` bytes from `offset` on.

    Of a buffer that is written over, what is there is seen when it is looked at only: then
    `newest` is that, in the same form.
    """

    kind: Literal["aux"]
    what: Literal["stretch", "newest"]
    id: int
    time: int
    offset: int
    size: int
    flags: int
    words: TraceWords
