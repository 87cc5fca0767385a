"""The offset that may be committed: records come in order, with gaps and again, and end in any order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connectors.xero.core.watermark import Watermark
from tests.depth import examples


class WatermarkMachine(RuleBasedStateMachine):
    """The model: every offset that has come, and whether it has ended."""

    @initialize(start=st.integers(0, 1000))
    def begins(self, start: int) -> None:
        self.mark, self.next = Watermark(start), start
        self.came: dict[int, bool] = {}  # offset: has ended
        self.highest = start

    @rule(gap=st.integers(0, 3))
    def comes(self, gap: int) -> None:
        self.next += gap  # transaction markers take offsets too
        assert self.mark.opened(self.next)
        self.came[self.next] = False
        self.next += 1

    @rule(data=st.data())
    def comes_again(self, data: st.DataObject) -> None:
        """After a rebalance of the consumer's, or from before our beginning: it is not taken a second time."""
        assert not self.mark.opened(data.draw(st.integers(0, self.next - 1)) if self.next else -1)

    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        if still := [offset for offset, ended in self.came.items() if not ended]:
            self._end(data.draw(st.sampled_from(still)))

    @rule(data=st.data())
    def is_told_twice(self, data: st.DataObject) -> None:
        if done := [offset for offset, ended in self.came.items() if ended]:
            self._end(data.draw(st.sampled_from(done)))

    @rule()
    def all_end(self) -> None:
        for offset in reversed(self.came):
            self._end(offset)
        assert self.mark.offset == self.next, "the end, when all have ended"
        assert self.mark.unfinished == 0

    def _end(self, offset: int) -> None:
        self.mark.finished(offset)
        self.came[offset] = True

    @invariant()
    def it_never_passes_an_unfinished_record(self) -> None:
        unfinished = [offset for offset, ended in self.came.items() if not ended]
        assert all(self.mark.offset <= offset for offset in unfinished)
        assert self.mark.unfinished == len(unfinished)

    @invariant()
    def it_never_goes_back(self) -> None:
        assert self.highest <= self.mark.offset <= self.next
        self.highest = self.mark.offset

    @invariant()
    def it_is_as_far_as_it_may_be(self) -> None:
        """No record that has ended lies between it and the first one that has not."""
        first = min((offset for offset, ended in self.came.items() if not ended), default=self.next)
        assert not [offset for offset, ended in self.came.items() if ended and self.mark.offset <= offset < first]


WatermarkMachine.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40)
TestWatermarkMachine = WatermarkMachine.TestCase
