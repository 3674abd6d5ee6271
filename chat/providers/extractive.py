"""Answer without a model: quote and cite the best passages."""

import re
from collections.abc import AsyncIterator

from chat.citations import Citation
from chat.providers.protocol import Completion, Delta, Prompt
from common.links import markdown_link

NOTICE = "No language model is configured, so these are the passages of the documents that fit best."
NOTHING = "No language model is configured, and no document fits this question."

_MOST = 3
_LEAST_SCORE = 0.25
_SHARE_OF_BEST = 0.75
"""A passage needs this share of the best score; a much weaker one would only distract."""

_CODE_OR_MARK = re.compile(r"(?P<code>(?P<ticks>`+)[\s\S]*?(?<!`)(?P=ticks)(?!`))|\[(?P<number>\d{1,3})\]")
"""What a passage has in brackets must not read as one of our sources; in code nothing reads as one."""


class ExtractiveProvider:
    """Quote passages; the answer is deterministic, and no data leaves the machine."""

    model = "extractive"
    is_extractive = True

    async def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        quoted = choose(prompt.passages)
        yield Delta(text=NOTICE if quoted else NOTHING)
        for passage in quoted:
            yield Delta(text=f"\n\n{_quote(passage)}")
        cited = frozenset(passage.number for passage in quoted)
        yield Completion(model=self.model, usage=None, finish_reason="stop", cited=cited)


def choose(passages: list[Citation]) -> list[Citation]:
    """Return the passages to quote: the best documents first, and each document's passages in their order."""
    ranked = sorted(passages, key=lambda passage: -passage.score)
    best = ranked[0].score if ranked else 0.0
    least_score = max(_LEAST_SCORE, best * _SHARE_OF_BEST)
    chosen = [passage for passage in ranked[:_MOST] if passage.score >= least_score]
    documents = list(dict.fromkeys((passage.index, passage.document_id) for passage in chosen))
    return sorted(chosen, key=lambda passage: (documents.index((passage.index, passage.document_id)), passage.chunk_id))


def _quote(passage: Citation) -> str:
    text = _CODE_OR_MARK.sub(lambda found: found[0] if found["code"] else f"\\[{found['number']}\\]", passage.content)
    body = "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())
    return f"{body}\n\n[{passage.number}] {markdown_link(passage.title, passage.url)}"
