"""Answer without a model: the sentences of the passages that answer the question, each cited."""

from collections.abc import AsyncIterator, Sequence

from asgiref.sync import sync_to_async

from chat.answer_flags import NOT_KNOWN
from chat.extracts.markdown import write
from chat.extracts.passages import read_passages
from chat.extracts.selection import choose
from chat.providers.not_known import nearest_articles, not_known_text, numbers_of
from chat.providers.protocol import Completion, Delta, Prompt
from common.links import markdown_link, safe_link

NOTICE = "No language model is configured, so these are the passages of the documents that fit best."
MODEL_UNAVAILABLE = "model_unavailable"
"""The flag of an answer that is quoted because no model answered."""
BUDGET_EXHAUSTED = "budget_exhausted"
"""The flag of one that is quoted because the budget for models is used up."""
_EXHAUSTED = "The budget for language models is used up, so these are the passages of the documents that fit best."
_UNAVAILABLE = "The language model does not answer now, so these are the passages of the documents that fit best."


def notice_of(flags: Sequence[str]) -> str:
    """Return why an answer is quoted."""
    if BUDGET_EXHAUSTED in flags:
        return _EXHAUSTED
    return _UNAVAILABLE if MODEL_UNAVAILABLE in flags else NOTICE


class ExtractiveProvider:
    """Quote sentences; the answer is deterministic, and no data goes where the search does not send it."""

    model = "extractive"
    is_extractive = True
    window = 0
    attempts = ()
    config = None
    models = ()

    def __init__(self, *degraded: str) -> None:
        self.degraded = degraded
        """Flags that say why no model answers."""

    async def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        # In a thread: it reads the sentences with the embedding model, and asks the database.
        text, cited = await sync_to_async(extract)(prompt)
        reason = "stop"
        if not text:
            nearest = nearest_articles(prompt.passages)
            text = not_known_text(nearest, await sync_to_async(prompt.offer)())
            cited, reason = numbers_of(nearest), NOT_KNOWN
        for number, block in enumerate(text.split("\n\n")):
            yield Delta(text=f"\n\n{block}" if number else block)
        yield Completion(model=self.model, usage=None, finish_reason=reason, cited=cited, degraded=self.degraded)


def extract(prompt: Prompt) -> tuple[str, frozenset[int]]:
    """Return the answer, and the numbers of the passages that it is made of; "" if no sentence fits the question.

    Below the sentences stand the links of the documents that have one. A path is none here: a text is read elsewhere,
    too.
    """
    chosen = choose(read_passages(prompt.earlier_questions, prompt.question, prompt.passages))
    sources = {part.passage.source.number: part.passage.source for part in chosen}
    links = [
        f"- [{source.number}] {markdown_link(source.title, source.url)}"
        for source in sources.values()
        if safe_link(source.url)
    ]
    return "\n\n".join(part for part in (write(chosen), "\n".join(links)) if part), frozenset(sources)
