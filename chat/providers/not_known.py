"""Answer that the documents hold no answer: what comes nearest, and the offer of a person. No model is asked."""

from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.utils.translation import gettext as _

from chat.citations import Citation
from chat.providers.protocol import Completion, Delta, Prompt
from common.links import markdown_link, safe_link

_MOST_ARTICLES = 3


class NotKnownProvider:
    """Say that the bot does not know; used where every search stayed below its index's threshold."""

    model = "none"
    is_extractive = False
    window = 0
    attempts = ()
    config = None
    models = ()

    async def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        nearest = nearest_articles(prompt.passages)
        yield Delta(text=not_known_text(nearest, await sync_to_async(prompt.offer)()))
        yield Completion(model=self.model, usage=None, finish_reason="stop", cited=numbers_of(nearest))


def numbers_of(passages: list[Citation]) -> frozenset[int]:
    return frozenset(passage.number for passage in passages)


def nearest_articles(passages: list[Citation]) -> list[Citation]:
    """Return the best passage of each of the nearest documents, best first."""
    best: dict[tuple[str, str], Citation] = {}
    for passage in sorted(passages, key=lambda passage: -passage.score):
        best.setdefault((passage.index, passage.document_id), passage)
    return list(best.values())[:_MOST_ARTICLES]


def not_known_text(nearest: list[Citation], offer: str) -> str:
    """Return the answer as Markdown; `offer` says how else one gets help, or is empty."""
    parts = [_("I do not know the answer to that.")]
    if nearest:
        links = [markdown_link(passage.title or passage.document_id, safe_link(passage.url)) for passage in nearest]
        lines = [f"- {link} [{passage.number}]" for link, passage in zip(links, nearest, strict=True)]
        parts += [_("These articles come nearest:"), "\n".join(lines)]
    return "\n\n".join([*parts, *([offer] if offer else [])])
