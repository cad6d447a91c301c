"""What a node does that runs until one of its outputs says stop, a step at a time: a decoder, a search, a counter.

It knows what a step reads and when it is over; who goes on when is the schedule's.
"""

from __future__ import annotations

from typing import Any

from edgemm.model.graph import ModelGraph, Node
from edgemm.model.rules import FINISH, LATEST, Until
from edgemm.runtime.binding import Sources
from edgemm.runtime.cells import NEVER
from edgemm.runtime.steps import Once


class Loop(Once):
    """A node that runs until one of its outputs says stop: started by news, then one step per call of `resume`.

    Every step publishes, so what has been said so far is partial until the loop is done; until the first step that is what it said last. State
    starts at zero with each start.

    Attributes:
        running: whether it has more to do.
        steps: done since its start.
        resumed: when it last went on, so that several loops take turns.
    """

    loops = True

    def __init__(self, node: Node, graph: ModelGraph, runner: Any, sources: Sources) -> None:
        super().__init__(node, graph, runner, sources)
        trigger = node.trigger
        assert isinstance(trigger, Until)
        self._stop = node.outputs.index(trigger.stop)
        self._limit = trigger.limit
        self._finish_first = trigger.on_news == FINISH
        # under another policy not every change starts it again, and a window's mask and ages move with whoever reads it
        self._in_place = not self._finish_first and node.policy == LATEST and not self._windows
        self._captured_ns: int  # of what it reads, since its start
        self._news = self.rules
        self.rules = lambda cells, marks: not (self.running and self._finish_first) and self._news(cells, marks)
        self.reset()

    @property
    def speaks(self) -> bool:
        """A start says nothing; that it was cancelled, and that there is no more to come, does."""
        return not self.running and super().speaks

    def stands(self, now_ns: int) -> bool:
        """What finishes first answers from what it read at its start, whatever has become of that since."""
        if self._finish_first and (self.running or self._news(self.cells, self.marks)):
            return True
        return super().stands(now_ns)

    def run(self, now_ns: int) -> None:
        """Start, or start again with what has changed; the steps come with `resume`."""
        self._captured_ns = self.prepare(now_ns)
        self.running = self._captured_ns != NEVER
        self.steps = 0
        if self.running:
            self._buffers.restart(self.cell.values)
            # read in place what restarts the loop whenever it changes; copy what must stay as it was at the start
            if self._in_place:
                self.binding.link()
            else:
                self.binding.feed_copies()

    def resume(self) -> None:
        """Run one step.

        Raises:
            Exception: whatever the runner raises; the schedule then calls `fail`.
        """
        outputs = self.binding.run_again()
        self.steps += 1
        self.finish(outputs, self._captured_ns)
        done = bool(outputs[self._stop].array.any())
        self.running = not done and not (self._limit and self.steps >= self._limit)

    def fail(self, now_ns: int, error: Exception) -> None:
        """A loop that fails is over; it starts again when its quarantine is."""
        super().fail(now_ns, error)
        self.running = False

    def reset(self) -> None:
        """Forget everything, and stop."""
        super().reset()
        self.running = False
        self.steps = self.resumed = 0


def step_for(node: Node, graph: ModelGraph, runner: Any, sources: Sources) -> Once:
    """The step of a node, by its trigger."""
    return (Loop if isinstance(node.trigger, Until) else Once)(node, graph, runner, sources)
