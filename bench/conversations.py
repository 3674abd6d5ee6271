"""How well conversations are searched: follow-ups, a change of subject, and questions that have no answer.

Follow-ups and unanswerable questions are of real support conversations; a change of subject is XQuAD's questions, each
asked after one of these conversations.
"""

import json
from dataclasses import replace

from asgiref.sync import sync_to_async

from bench.figures import Bound, Row, say
from bench.quality import DATA, is_there
from retrieval.evaluation import beir, temporary_index
from retrieval.evaluation.asked import AskedQuestion
from retrieval.evaluation.benchmark import JudgedQuery, judged_queries
from retrieval.evaluation.benchmark import measure as measure_mode
from retrieval.evaluation.calibration import Questions, calibrate
from retrieval.evaluation.conversations import after_conversations, read_follow_ups
from retrieval.models import Index

CONVERSATIONS, OTHER = "multiturn", "xquad_en"
_QUICK_QUESTIONS, _QUICK_STEP = 100, 3


async def measure(*, is_quick: bool) -> list[Row]:
    if not is_there(CONVERSATIONS):
        return []
    rows = await sync_to_async(_of_conversations)(_QUICK_STEP if is_quick else 1)
    if is_there(OTHER):
        rows += await sync_to_async(_of_other_subjects)(_QUICK_QUESTIONS if is_quick else None)
    return rows


def _of_conversations(step: int) -> list[Row]:
    """Return the figures of every `step`th task, with all passages."""
    folder = DATA / CONVERSATIONS
    follow_ups = read_follow_ups(folder / "conversations.jsonl")[::step]
    with temporary_index.own_index() as name:
        temporary_index.fill(name, beir.read_corpus(folder / "corpus.jsonl"))
        found = _ndcg(name, follow_ups)
        alone = _ndcg(name, [replace(query, history=()) for query in follow_ups])
        auc = _auc(name, step)
    say(f"{len(follow_ups)} follow-ups; below: the last question alone.")
    return [
        Row.of_value("nDCG@10: follow-ups | alone", found, Bound(value=0.915, is_least=True), floor=alone),
        Row.of_value("AUC: answerable or not | chance", auc, Bound(value=0.89, is_least=True), floor=0.5),
    ]


def _of_other_subjects(limit: int | None) -> list[Row]:
    folder = DATA / OTHER
    texts, qrels = beir.read_queries(folder / "queries.jsonl"), beir.read_qrels(folder / "qrels" / "test.tsv")
    documents = beir.read_corpus(folder / "corpus.jsonl")
    queries = judged_queries(texts, qrels, documents, limit)
    with temporary_index.own_index() as name:
        temporary_index.fill(name, documents)
        alone = _ndcg(name, queries)
        after = _ndcg(name, after_conversations(queries, DATA / CONVERSATIONS / "conversations.jsonl"))
    say(f"{len(queries)} questions of {OTHER}: nDCG@10 {alone:.4f}, after a conversation {after:.4f}")
    return [Row.of_value("nDCG@10 lost by another subject", alone - after, Bound(value=0.003))]


def _ndcg(name: str, queries: list[JudgedQuery]) -> float:
    return measure_mode(name, queries, "hybrid", timed=1).means["ndcg@10"]


def _auc(name: str, step: int) -> float:
    lines = (DATA / CONVERSATIONS / "conversations.jsonl").read_text(encoding="utf-8").splitlines()
    asked: dict[str, list[AskedQuestion]] = {"answerable": [], "unanswerable": []}
    for row in map(json.loads, lines[::step]):
        texts = [turn["text"] for turn in row["turns"] if turn["role"] == "user"]
        if row["answerability"] in asked:
            asked[row["answerability"]].append(AskedQuestion(text=texts[-1], history=tuple(texts[:-1])))
    index = Index.objects.select_related("generation").get(name=name)
    say(", ".join(f"{len(questions)} {kind}" for kind, questions in asked.items()))
    questions = Questions(index=index, sources=[CONVERSATIONS], **asked)
    return calibrate(questions, started_by="bench", is_applied=False).auc
