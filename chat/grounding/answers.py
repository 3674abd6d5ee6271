"""Check a chat's answer beside the event loop, and take the citations out of its text that support nothing."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from chat.answer_flags import NOT_KNOWN
from chat.citations import Citation
from chat.grounding.check import ground, ground_quotes, read_ahead
from chat.grounding.marks import marks_of, without_spans
from chat.grounding.not_known import says_not_known
from chat.grounding.result import Grounding
from chat.phrases.known import not_known_phrases
from contexts.conversation import CLIENT, NOT_OFFERED

logger = logging.getLogger(__name__)

DEGRADED = "grounding_degraded"
"""The flag of an answer that was checked by its words only, since the embedder failed."""
LEFT_OUT = "grounding_left_out"
"""The flag of an answer that was not checked: too many waited for it, or it failed."""
_MOST_S = 0.5
"""An answer is not held up longer."""

_PROVE_NOTHING = ("chunk:", "summary:", NOT_OFFERED)
"""Sources of items that are passages, which are judged as such, or what the bot made of the conversation itself."""

# One thread: the check holds the interpreter, and more of them would slow the event loop down and finish no earlier.
_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="grounding")


@dataclass(frozen=True, kw_only=True)
class CheckedText:
    text: str
    """Without the citations that support nothing."""
    grounding: Grounding | None = None
    """None if the text was not checked."""
    is_not_known: bool = False
    """Whether a model says in its own words that it does not know, and nothing else."""

    @property
    def flags(self) -> list[str]:
        flags = [NOT_KNOWN] if self.is_not_known else []
        if self.grounding is None:
            return [*flags, LEFT_OUT]
        return [*flags, DEGRADED] if self.grounding.is_degraded else flags

    def to_dict(self) -> dict[str, Any] | None:
        return self.grounding.to_dict() if self.grounding else None


async def check_answer(
    text: str, passages: Sequence[Citation], evidence: dict[str, Any], asked: Sequence[str], *, is_composed: bool
) -> CheckedText:
    """Check the text in a thread; whatever goes wrong, the text is returned.

    `asked` are the user's questions: this one, and those before it. Of a text that the program composed, only the
    passages' own words are looked for.
    """
    loop = asyncio.get_running_loop()
    is_not_known = not is_composed and says_not_known(text, not_known_phrases())  # a composed text has the flag already
    try:
        async with asyncio.timeout(_MOST_S):
            checked = await loop.run_in_executor(_executor, _check, text, passages, evidence, asked, is_composed)
            return replace(checked, is_not_known=is_not_known)
    except TimeoutError:
        logger.warning("An answer was not checked against its passages within %s seconds.", _MOST_S)
    except Exception as error:  # an answer that cannot be checked is an answer all the same, and its flag tells
        logger.error("An answer could not be checked against its passages: %s", type(error).__name__)
    return CheckedText(text=text, is_not_known=is_not_known)


def prepare_check(passages: Sequence[Citation]) -> None:
    """Read the passages beside the event loop while the model works."""
    _executor.submit(read_ahead, passages)


def _check(
    text: str, passages: Sequence[Citation], evidence: dict[str, Any], asked: Sequence[str], is_composed: bool
) -> CheckedText:
    if is_composed:
        return CheckedText(text=text, grounding=ground_quotes(text, passages))
    others, told = _other_texts(passages, evidence)
    grounding = ground(text, passages, others=others, given=[*asked, *told])
    if not grounding.dropped:
        return CheckedText(text=text, grounding=grounding)
    spans = marks_of(text, grounding.dropped)
    return CheckedText(text=without_spans(text, spans), grounding=grounding.without(spans))


def _other_texts(passages: Sequence[Citation], evidence: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the kept items that hold no passage: those of the context, and what a client tells.

    What a client tells supports nothing, as little as what its user says. What the bot said before, and a summary of
    it, is neither: it would be its own proof.
    """
    others, told = [], []
    for item in evidence.get("items", []):
        source = item["source_id"] or ""
        if not item["kept"] or item["part"] == "history" or source.startswith(_PROVE_NOTHING):
            continue
        if source.startswith(f"{CLIENT}:"):
            told.append(item["content"])
        elif not any(passage.content in item["content"] for passage in passages):
            others.append(item["content"])
    return others, told
