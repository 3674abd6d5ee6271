"""Keep apart what a model thinks in the middle of an answer, between two marks that have lines of their own."""

import re
from dataclasses import dataclass, field

from chat.providers.marks import ThinkingMark, mark_at, may_be_mark

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_FENCE_CHARS = "`~"


@dataclass(kw_only=True)
class LaterThinking:
    """The text of an answer as it comes in; `split` returns what of it may be shown by now.

    A block of thoughts begins at the start of a line, outside of code, and is closed: at the end of a line, or, if it
    has several lines, anywhere. Anything else is the answer's own, which may write about such marks.
    """

    thoughts: list[str] = field(default_factory=list)
    _held: str = ""
    """Text that may be the beginning of a mark, or a block that is not closed yet."""
    _searched: int = 0
    """How much of such a block has been searched for its end."""
    _fence: str = ""
    """What has opened the code of now."""
    _is_in_line: bool = False

    def split(self, text: str) -> str:
        """Return what is to be shown of the text so far."""
        text, self._held = self._held + text, ""
        shown: list[str] = []
        while text:
            if not self._is_in_line and (opening := self._opening_of(text)):
                end = self._end_of_block(text, opening)
                if end is None:
                    self._held = text
                    break
                self._searched = 0
                if end:
                    text = text[end:]
                    continue
            elif not self._is_in_line and self._may_become_more(text):
                self._held = text
                break
            line, line_end, text = text.partition("\n")
            if not self._is_in_line:
                self._note_fence(line)
            shown.append(line + line_end)
            self._is_in_line = not line_end
        return "".join(shown)

    def end(self, *, is_cut_off: bool) -> str:
        """Return the text that was held back until now: a block that nothing closes is the answer's."""
        rest, self._held = self._held, ""
        opening = self._opening_of(rest)
        if not opening or self._end_of_block(f"{rest}\n", opening):
            return "" if opening else rest
        if is_cut_off:
            self.thoughts.append(rest[len(opening.text) :])
        return "" if is_cut_off else rest

    def _end_of_block(self, text: str, opening: ThinkingMark) -> int | None:
        """Keep the block that the text begins with, and return where it ends; 0 for none, None if it is still open."""
        start = len(opening.text)
        closing = opening.closing.search(text, max(start, self._searched))
        self._searched = closing.start() if closing else len(text) - opening.longest_closing
        if closing is None:
            return None
        thought, rest = text[start : closing.start()], text[closing.end() :]
        if f"\n{opening.text}" in thought:
            return 0  # it is the one behind it that is closed
        blank = rest[: len(rest) - len(rest.lstrip(" \t\n"))]
        if "\n" not in thought and "\n" not in blank:
            return 0 if rest.strip(" \t") else None
        self.thoughts.append(thought)
        return closing.end() + len(blank)

    def _may_become_more(self, text: str) -> bool:
        """Return whether what comes next decides what a line is that begins with the text."""
        if "\n" in text:
            return False
        begun = text.lstrip(" ")
        return not begun.strip(_FENCE_CHARS) or (not self._fence and may_be_mark(begun))

    def _opening_of(self, text: str) -> ThinkingMark | None:
        return None if self._fence else mark_at(text)

    def _note_fence(self, line: str) -> None:
        found = _FENCE.match(line)
        if found is None:
            return
        if not self._fence:
            self._fence = found[1]
        elif found[1].startswith(self._fence) and not line[found.end() :].strip():
            self._fence = ""
