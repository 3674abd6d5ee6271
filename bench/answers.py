"""How well answers are made and checked: extracts that hold the answer, and corrupted sentences that are found.

The thresholds of the check were chosen on one half of the passages; this is the other half.
"""

import time
from itertools import islice
from pathlib import Path

from asgiref.sync import sync_to_async
from django.conf import settings

from bench.conversations import CONVERSATIONS, OTHER
from bench.figures import Bound, Limit, Row, Spread, say
from bench.quality import DATA, is_there
from chat.citations import Citation
from chat.evaluation.extracts import measure_extracts, read_questions
from chat.evaluation.grounding.measure import UNCHANGED
from chat.evaluation.grounding.measure import measure as measure_check
from chat.evaluation.grounding.truths import TrueSentence, quotes, read_passages, read_rows, written_by_people
from chat.grounding.check import ground, read_ahead
from contexts.tokens import tokenizer_for
from retrieval.evaluation import beir, temporary_index

_TOP_K, _MAX_TOKENS = 3, 4000
_SENTENCES, _QUICK = 1000, 100
_ANSWER_WORDS, _ANSWERS, _PASSAGES = 200, 100, 5


async def measure(*, is_quick: bool) -> list[Row]:
    rows = []
    if is_there(OTHER):
        rows += await sync_to_async(_of_extracts)(_QUICK if is_quick else None)
        rows += await sync_to_async(_of_check)(OTHER, _QUICK if is_quick else _SENTENCES)
    if is_there(CONVERSATIONS):
        rows += await sync_to_async(_of_check)(CONVERSATIONS, _QUICK if is_quick else _SENTENCES)
        rows += await sync_to_async(_of_people)(_QUICK if is_quick else None)
        rows += await sync_to_async(_of_time)(_QUICK // 5 if is_quick else _ANSWERS)
    return rows


def _of_extracts(limit: int | None) -> list[Row]:
    folder = DATA / OTHER
    questions = read_questions(folder / "queries.jsonl")[:limit]
    with temporary_index.own_index() as name:
        temporary_index.fill(name, beir.read_corpus(folder / "corpus.jsonl"))
        found = measure_extracts(
            name, questions, top_k=_TOP_K, max_tokens=_MAX_TOKENS, tokenizer=tokenizer_for(settings.FABRA_CHAT_MODEL)
        )
    say(f"{found.questions} questions; an extract has {found.words_mean:.0f} words on average.")
    return [
        Row.of_value("answer in the context", found.in_context, Bound(value=0.97, is_least=True)),
        Row.of_value("answer in the extract", found.in_extract, Bound(value=0.85, is_least=True)),
    ]


def _of_check(name: str, limit: int) -> list[Row]:
    sentences = [sentence for sentence in quotes(_passages(name)) if sentence.half == 2]
    step = max(1, -(-len(sentences) // limit))
    return _found_of(f"{name}'s passages", sentences[::step])


def _of_people(limit: int | None) -> list[Row]:
    written = written_by_people(read_rows(_conversations()), _passages(CONVERSATIONS))
    return _found_of("people's answers", list(islice((sentence for sentence in written if sentence.half == 2), limit)))


def _found_of(what: str, sentences: list[TrueSentence]) -> list[Row]:
    counts = measure_check(sentences)
    corrupted = [row for kind, row in counts.items() if kind != UNCHANGED]
    total = sum(row.total for row in corrupted)
    say(f"{what}: {counts[UNCHANGED].total} true sentences, {total} corrupted ones")
    return [
        Row.of_value(f"found: {what}", sum(row.found for row in corrupted) / total, Bound(value=0.9, is_least=True)),
        Row.of_value(f"false alarms: {what}", counts[UNCHANGED].share, Bound(value=0.05)),
    ]


def _of_time(count: int) -> list[Row]:
    """Return the processor time of the check of an answer whose passages were read while the model worked."""
    times_ms, words = [], []
    for text, passages in islice(_long_answers(), count):
        read_ahead(passages)
        started = time.process_time()
        ground(text, passages)
        times_ms.append((time.process_time() - started) * 1000)
        words.append(len(text.split()))
    say(f"{len(words)} answers of {sum(words) / len(words):.0f} words, each with {_PASSAGES} passages")
    return [Row(what="check of an answer of 200 words", ours=Spread.of(times_ms), goal=Limit(p50=15, p95=1000))]


def _long_answers() -> list[tuple[str, list[Citation]]]:
    """Return people's answers, joined to some 200 words, with the passages that they rest on first."""
    by_id = {passage.document_id: passage for passage in _passages(CONVERSATIONS)}
    found: list[tuple[str, list[Citation]]] = []
    said: list[str] = []
    ids: dict[str, None] = {}
    for row in read_rows(_conversations()):
        said += [turn["text"] for turn in row["turns"] if turn["role"] == "assistant" and turn["text"] not in said]
        ids |= dict.fromkeys(chunk_id for chunk_id in row["relevant"] if chunk_id in by_id)
        words = " ".join(said).split()
        if len(words) >= _ANSWER_WORDS and len(ids) >= _PASSAGES:
            passages = [by_id[passage_id] for passage_id in islice(ids, _PASSAGES)]
            found.append((" ".join(words[:_ANSWER_WORDS]), passages))
            said, ids = [], {}
    return found


def _passages(name: str) -> list[Citation]:
    return read_passages(DATA / name / "corpus.jsonl")


def _conversations() -> Path:
    return DATA / CONVERSATIONS / "conversations.jsonl"
