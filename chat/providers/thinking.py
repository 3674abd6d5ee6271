"""Keep what a model thinks apart from what it answers, where both come in one text."""

from dataclasses import dataclass, field

from chat.providers.later_thinking import LaterThinking
from chat.providers.marks import (
    OF_TEMPLATE,
    ThinkingMark,
    length_before_answer,
    mark_at,
    may_be_before_answer,
    may_be_mark,
)


@dataclass(kw_only=True)
class Thinking:
    """The text of an answer as it comes in; `split` returns what of it may be shown by now.

    A mark of thinking stands at the beginning of an answer or right behind other thoughts; later only around a block of
    lines, see LaterThinking: an answer may write about such marks.
    """

    begins_with_thinking: bool = False
    """The chat template opens the mark of thinking, so that the answer has the closing one only."""
    thoughts: list[str] = field(default_factory=list)
    _held: str = ""
    """Text that may be the beginning of a mark."""
    _assumed: list[str] | None = None
    """What is taken for thoughts until the closing mark proves it: at the beginning of an answer, or behind thoughts in
    which others were opened."""
    _block_start: int = 0
    """Where in the list of thoughts those begin that followed the last opening mark."""
    _opening: ThinkingMark | None = None
    """The mark that the thoughts of now began with; None while it does not think."""
    _may_think: bool = True
    _later: LaterThinking = field(init=False)
    _is_behind_thoughts: bool = False
    """Between the closing mark and the first word, where blanks are no text."""

    def __post_init__(self) -> None:
        self._later = LaterThinking(thoughts=self.thoughts)

    def split(self, text: str) -> str:
        """Return what is to be shown of the text so far; what lies between the marks of thinking is kept apart."""
        return self._later.split(self._split_beginning(text))

    def end(self, *, is_cut_off: bool) -> str:
        """Return the text that was held back until now, when nothing follows any more."""
        rest = self._end_beginning(is_cut_off=is_cut_off)
        return self._later.split(rest) + self._later.end(is_cut_off=is_cut_off)

    def _split_beginning(self, text: str) -> str:
        text, self._held = self._held + text, ""
        while text:
            if self._opening:
                text = self._think(text)
            elif self._may_think:
                if self._is_behind_thoughts:
                    text = text.lstrip()
                begun = text.lstrip()
                if self._may_be_mark(begun):
                    self._held = text
                    return ""
                text = self._begin(text, begun)
            else:
                return text
        return ""

    def _end_beginning(self, *, is_cut_off: bool) -> str:
        rest, self._held = self._held, ""
        if not self._opening:
            return rest
        thought = "".join([*(self._assumed or ()), rest])
        if self._assumed is not None and not is_cut_off:
            return thought.lstrip() if self._is_behind_thoughts else thought  # this time it has not thought
        self.thoughts.append(thought)
        return ""

    @property
    def _has_thought(self) -> bool:
        return self._is_behind_thoughts or any(self.thoughts)

    def _may_be_mark(self, begun: str) -> bool:
        """Return whether a text is empty, or the beginning of a mark, of which the rest may follow."""
        return may_be_mark(begun) or may_be_before_answer(begun, has_thought=self._has_thought)

    def _begin(self, text: str, begun: str) -> str:
        """Return what follows the mark at the beginning; without one, the text, which the answer begins with."""
        if mark := mark_at(begun):
            self._opening, self._block_start = mark, len(self.thoughts)
            return begun[len(mark.text) :]
        if skipped := length_before_answer(begun, has_thought=self._has_thought):
            self._is_behind_thoughts = True
            return begun[skipped:]
        if self.begins_with_thinking and not self._is_behind_thoughts:
            self._opening, self._block_start, self._assumed = OF_TEMPLATE, 0, []
        else:
            self._may_think = False
        return text

    def _think(self, text: str) -> str:
        """Keep the thoughts, and return what follows their closing mark."""
        assert self._opening is not None
        kept = self.thoughts if self._assumed is None else self._assumed
        closing = self._opening.closing.search(text)
        if closing is None:
            keep = self._opening.longest_closing
            kept.append(text[:-keep])
            self._held = text[-keep:]
            return ""
        kept.append(text[: closing.start()])
        block = "".join(kept[self._block_start :]).lstrip()
        if block.lower().startswith(self._opening.text.lower()):
            block = block[len(self._opening.text) :]
        self.thoughts += self._assumed or ()
        self._is_behind_thoughts = True
        if self._opening.is_in(block):  # others were opened in them, so that these may go on
            self._assumed, self._block_start = [], 0
        else:
            self._assumed = self._opening = None
        return text[closing.end() :]
