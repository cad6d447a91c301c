"""What goes wrong around a stream, made on purpose: sources, runners, sinks and observers that misbehave in a way that is chosen and counted.

    from edgemm.testing import faults

    camera = faults.Disturbed(camera, faults.drop(every=3), faults.jump(after=30, by_ms=3_600_000))
    stream = edgemm.stream(bundle, {"image": camera}, sinks=[faults.Failing(my_sink, after=10)])

For tests of programs and of plugins; EdgeMM's own streams are tested with the same. Nothing here uses random numbers or sleeps, so a test says the same
each time. It knows nothing of what packets carry.
"""

from __future__ import annotations

from edgemm.testing.faults.listeners import Blocking, Failing
from edgemm.testing.faults.runners import FailingRunner, NotFiniteRunner
from edgemm.testing.faults.sources import (
    Disturbed,
    Fault,
    corrupt,
    disconnect,
    drop,
    during,
    exit_thread,
    freeze,
    gap,
    hang,
    hold_back,
    jump,
    misname,
    reorder,
    repeat,
    rounds,
    skew,
)

__all__ = [
    "Blocking",
    "Disturbed",
    "Failing",
    "FailingRunner",
    "Fault",
    "NotFiniteRunner",
    "corrupt",
    "disconnect",
    "drop",
    "during",
    "exit_thread",
    "freeze",
    "gap",
    "hang",
    "hold_back",
    "jump",
    "misname",
    "reorder",
    "repeat",
    "rounds",
    "skew",
]
