"""Leave out the marks that end a model's text, such as `<|im_end|>`, and what it makes up behind them."""

from dataclasses import dataclass, field

import regex

_TAGS = ("</s>", "<eos>", "<end_of_turn>", "<start_of_turn>")
_MARK = r"<[|｜][\w▁]{1,30}[|｜]>|" + "|".join(_TAGS)
_BEGUN = "|".join(
    [r"<[|｜]?", r"<[|｜][\w▁]{1,30}[|｜]?"] + [mark[:length] for mark in _TAGS for length in range(2, len(mark))]
)
_RUN = regex.compile(rf"(?:{_MARK})(?:\s*(?:{_MARK}))*+\s*(?:{_BEGUN})?\Z|(?:{_BEGUN})\Z")
_MARKS = regex.compile(rf"(?:{_MARK}|\s)+")
_TAG_OR_NAME = regex.compile(r"<[a-z!/]|\b(?:HTML|XML)\b", regex.IGNORECASE)
"""Behind these `</s>` is the end of what is crossed out."""
_NEXT_TURN = regex.compile(
    r"(?:<\|(?:im_end|eot_id|end|endoftext)\|>|<｜end▁of▁sentence｜>|<end_of_turn>|</s>)\s*"
    r"(?:<\|(?:im_start|start_header_id|start|user|system|assistant)\|>|<｜User｜>|<start_of_turn>|(?:<s>\s*)?\[INST\])"
)
"""Where a model goes on by itself with what the user might say next."""
_LEADS_ON = ":,=("
_MOST_CHARS = 400
"""Of marks at the end."""


@dataclass(kw_only=True)
class EndMarks:
    """The text of an answer as it comes in; `split` returns what of it may be shown by now.

    Left out are marks at the very end of the answer: right behind its text, or after the end of a sentence or line; and
    all that follows marks with which the next turn of the conversation begins. An answer that writes about such marks
    names them within a sentence or in code.
    """

    _shown: list[str] = field(default_factory=list)
    _held: str = ""
    """Marks that may be the last ones, or the beginning of a mark."""
    _is_over: bool = False
    """Whether the next turn has begun."""

    def split(self, text: str) -> str:
        """Return what is to be shown of the text so far."""
        if self._is_over:
            return ""
        text, self._held = self._held + text, ""
        next_turn = _NEXT_TURN.search(text) if "<" in text else None
        if next_turn and not _is_about("".join([*self._shown, text[: next_turn.start()]]), next_turn.group()):
            self._is_over = True
            return text[: next_turn.start()]
        found = _RUN.search(text, max(0, len(text) - _MOST_CHARS)) if "<" in text else None
        shown, self._held = (text[: found.start()], found.group()) if found else (text, "")
        self._shown.append(shown)
        return shown

    def end(self) -> str:
        """Return the text that was held back until now, when nothing follows any more."""
        rest, self._held = self._held, ""
        is_left_out = _MARKS.fullmatch(rest) is not None and not _is_about("".join(self._shown), rest)
        return "" if is_left_out else rest


def _is_about(said: str, marks: str) -> bool:
    """Return whether marks at the end of what was said belong to it: it quotes them, or leads on to them."""
    before = said.rstrip()
    is_inline = bool(before) and said != before and "\n" not in said[len(before) :]
    return (
        said.count("`") % 2 == 1
        or any(mark in said for mark in marks.split())
        or before.endswith(tuple(_LEADS_ON))
        or (is_inline and before[-1].isalnum())
        or ("</s>" in marks and _TAG_OR_NAME.search(said) is not None)
    )
