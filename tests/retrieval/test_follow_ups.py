"""A follow-up is found by what was asked before it too, in one search; a change of subject is not held up by that."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from common.errors import InvalidInput
from retrieval.errors import EmbedderUnavailable
from retrieval.models import Index
from retrieval.search.execute import search_sync
from retrieval.search.history import refers_back, weighted_vector, weights_of
from retrieval.search.questions import EarlierQuestion, Embedding

pytestmark = [pytest.mark.django_db, pytest.mark.real_model]


@pytest.fixture
def plans(put: Any, embedder: Any) -> None:
    put("storage", "How much storage do the plans have: 5 GB, and 100 GB.")
    put("refunds", "Refunds on the free plan take ten days.")
    put("trial", "A free trial ends after thirty days.")


def found(query: str, **options: Any) -> list[str]:
    return [hit.document_id for hit in search_sync("docs", query, **options).hits]


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "lexical"])
def test_what_was_asked_before_ranks_a_follow_up(plans: None, mode: str) -> None:
    follow_up = "And on the free one?"
    assert found(follow_up, mode=mode)[0] != "storage"
    asked_before = ["How much storage do the plans have?"] * 3
    assert found(follow_up, mode=mode, history=asked_before)[0] == "storage"


def test_the_last_question_weighs_most(plans: None) -> None:
    history = ["How much storage do the plans have?", "How much storage, again?"]
    assert found("When does a free trial end?", history=history)[0] == "trial"


def test_the_record_says_what_counted(plans: None) -> None:
    record = search_sync("docs", "And refunds on it?", history=["Storage?", "Which plan?"])
    assert record.options["history"] == [
        {"question": "Storage?", "weight": 0.25}, {"question": "Which plan?", "weight": 0.5},
    ]  # fmt: skip
    assert "history" not in search_sync("docs", "Refunds?").options


def test_the_oldest_questions_do_not_count(plans: None) -> None:
    record = search_sync("docs", "And it?", history=[f"Question {number}?" for number in range(30)])
    weights = [earlier["weight"] for earlier in record.options["history"]]
    assert weights == [0.5**age for age in range(7, 0, -1)]


def test_a_conversation_runs_the_model_once_for_each_question(plans: None, embedder: Any) -> None:
    questions = ["Which plans are there?", "How much storage do they have?", "And refunds?", "And the trial?"]
    for number, question in enumerate(questions):
        search_sync("docs", question, history=questions[:number])
    assert embedder.questions == questions


def test_a_question_outside_of_a_conversation_is_not_kept(plans: None, embedder: Any) -> None:
    search_sync("docs", "Which plans are there?")
    search_sync("docs", "And refunds?", history=["Which plans are there?"])
    assert embedder.questions == ["Which plans are there?", "Which plans are there?", "And refunds?"]


def test_without_the_model_the_words_of_all_questions_rank(plans: None, embedder: Any) -> None:
    embedder.question_failure = EmbedderUnavailable
    record = search_sync("docs", "And on the free plan?", history=["How much storage do the plans have?"])
    assert record.flags[0] == "semantic_unavailable"
    assert record.hits[0].document_id == "storage"


@pytest.mark.parametrize("history", ["a text", "", [1], ["a\x00b"], {"a": 1}, [None]])
def test_a_history_that_is_none_is_refused(plans: None, history: Any) -> None:
    with pytest.raises(InvalidInput, match="history"):
        search_sync("docs", "Refunds?", history=history)


UNIT = {
    "same": np.array([1, 0], np.float32), "other": np.array([0, 1], np.float32),
    "near": np.array([0.15, 0.9887], np.float32),
}  # fmt: skip


@pytest.mark.parametrize(
    ("last", "earlier", "weight"),
    [
        ("How do I get an invoice for March?", "same", 0.5),
        ("How do I get an invoice for March?", "other", 0.0),  # another subject
        ("How do I get an invoice for it?", "other", 0.5),  # refers back
        ("And for the free plan there is none?", "other", 0.5),
        ("Free plan?", "other", 0.5),  # too short to tell
        ("How did Ana change her plan last year?", "other", 0.0),  # refers to a name of its own
        ("How did Ana change her plan last year?", "same", 0.5),
        ("Can I change it to Pro?", "other", 0.5),
        ("How many requests does the Business plan have?", "near", 0.25),  # says what it asks for
        ("And how many requests does the Business plan have?", "near", 0.25),
        ("And how many requests does the Business plan have?", "other", 0.25),  # but may mean what was said
        ("And how many requests does the Business plan have?", "same", 0.5),
        ("And how many requests does it have?", "near", 0.5),
        ("What about the requests of the Business plan?", "near", 0.5),
    ],
)
def test_a_question_about_another_subject_does_not_count(last: str, earlier: str, weight: float) -> None:
    assert weights_of([EarlierQuestion("Before?")], last, [UNIT[earlier], UNIT["same"]]) == [weight, 1.0]


@pytest.mark.parametrize(
    ("question", "language", "is_referring"),
    [
        ("Und wie lange gilt das Angebot dann noch?", "german", True),
        ("Welche Rabatte gibt es dafür?", "german", True),
        ("Wie setze ich mein Passwort zurück?", "german", False),
        ("Woher bekomme ich eine Rechnung für März?", "german", False),  # "her" is an English word
        ("Et pour le forfait gratuit ?", "french", True),
        ("Combien coûte celui de mon équipe ?", "french", True),
        ("Comment modifier mon adresse de facturation ?", "french", False),
        ("¿Y cuánto tiempo es válido el enlace?", "spanish", True),
        ("¿En qué plan están incluidas las firmas?", "spanish", False),
        ("E quanto costa il piano annuale?", "italian", True),
        ("Isso também vale para equipes?", "portuguese", True),
        ("En hoe lang blijft de link geldig?", "dutch", True),
        ("А сколько это стоит в год?", "russian", True),
        ("Как изменить адрес для счетов?", "russian", False),
        ("Gäller samma sak för större team?", "swedish", True),
        ("Ja miten kauan linkki on voimassa?", "finnish", False),  # no words of it are known
        ("Entä ilmainen?", "finnish", True),  # too short to tell
        ("多少钱", "simple", True),
        ("怎么重置我的密码", "simple", False),  # without spaces, and not short
        ("And for how long is it valid?", "simple", True),
        # "there is", and a "that" or "this" that means nothing said before
        ("Is there a discount for nonprofits?", "english", False),
        ("Are there limits on the size of files?", "simple", False),
        ("There's an error on the billing page", "english", False),
        ("What happens if I click there?", "english", True),
        ("How do I know that my payment worked?", "english", False),
        ("Is there a plan that includes SSO and audit?", "english", False),
        ("Where do I find the invoice that was sent in March?", "english", False),
        ("What should I do so that customers see our logo?", "english", False),
        ("How do I know that it worked?", "english", True),
        ("How much is that for a team?", "english", True),
        ("Does that include invoices?", "english", True),
        ("Is that a bug of yours?", "english", True),
        ("Can I change that later on?", "english", True),
        ("How many messages can I send this month?", "english", False),
        ("Does this work on a Mac?", "english", True),
        ("Gibt es einen Rabatt für Vereine?", "german", False),
        ("Was muss ich tun, damit meine Zahlung ankommt?", "german", False),
        ("Wie sorge ich dafür, dass alle Zugriff haben?", "german", False),
        ("Kann ich damit meine Rechnung bezahlen?", "german", True),
        ("Wie viele Nachrichten habe ich diesen Monat?", "german", False),
        ("Y a-t-il une remise pour les associations ?", "french", False),
        ("Comment savoir que mon paiement a réussi ?", "french", False),
        ("Quelle est la limite cette semaine ?", "french", False),
        ("¿Hay un descuento para las ONG?", "spanish", False),
        ("¿Donde esta mi factura de marzo?", "spanish", False),
        ("¿Cuánto cuesta ese plan al año?", "spanish", True),
        ("Ci sono limiti per i file grandi?", "italian", False),
        ("Quanti messaggi posso inviare questo mese?", "italian", False),
        ("Há um desconto para ONGs?", "portuguese", False),
        ("Is er korting voor verenigingen?", "dutch", False),
        ("Hoe weet ik dat mijn betaling is gelukt?", "dutch", False),
        ("Is dat de prijs per maand?", "dutch", True),
        ("Как узнать о том, что оплата прошла?", "russian", False),
        ("Finns det rabatt för föreningar?", "swedish", False),
        ("Er der rabat for foreninger?", "danish", False),
        ("Er det rabatt for foreninger?", "norwegian", False),
    ],
)
def test_what_refers_back_depends_on_the_language_of_the_index(
    question: str, language: str, is_referring: bool
) -> None:
    assert refers_back(question, language) is is_referring
    weight = 0.5 if is_referring else 0.0
    weights = weights_of([EarlierQuestion("Before?")], question, [UNIT["other"], UNIT["same"]], language)
    assert weights in ([weight, 1.0], [0.25, 1.0])


def test_a_search_reads_the_question_in_the_language_of_its_index(plans: None) -> None:
    weights = {}
    for language in ("english", "german"):
        Index.objects.update(language=language)
        record = search_sync("docs", "Und gilt dafür auch ein Rabatt?", history=["When was the piano invented?"])
        weights[language] = [earlier["weight"] for earlier in record.options["history"]]
    assert weights["english"] != weights["german"] == [0.5]


def test_a_pronoun_behind_a_name_refers_back_where_the_subject_is_the_same() -> None:
    earlier = [EarlierQuestion("Storage?"), EarlierQuestion("Plans?")]
    vectors = [UNIT["other"], UNIT["same"], UNIT["same"]]
    assert weights_of(earlier, "How did Ana change her plan last year?", vectors) == [0.25, 0.5, 1.0]


def test_a_rewritten_question_counts_as_what_was_typed(plans: None) -> None:
    rewritten = EarlierQuestion("What storage has the free plan?", is_rewritten=True)
    earlier = [EarlierQuestion("Storage?"), EarlierQuestion("Plans?"), rewritten]
    assert weights_of(earlier, "And on it?", None) == [0.25, 0.5, 1.0, 1.0]
    record = search_sync("docs", "And on it?", history=["Storage?", "Plans?", rewritten])
    assert record.hits[0].document_id == "storage"
    assert record.options["history"][-1] == {
        "question": "What storage has the free plan?", "weight": 1.0, "rewritten": True,
    }  # fmt: skip


def test_a_question_with_its_vector_is_not_embedded_again(plans: None, embedder: Any) -> None:
    first = search_sync("docs", "Which plans are there?")
    assert first.embedding is not None
    asked = EarlierQuestion("Which plans are there?", embedding=first.embedding)
    with_vector = search_sync("docs", "And refunds?", history=[asked])
    assert embedder.questions == ["Which plans are there?", "And refunds?"]
    with_text = search_sync("docs", "And refunds?", history=[asked.text])
    assert [hit.score for hit in with_vector.hits] == [hit.score for hit in with_text.hits]


def test_a_vector_of_another_dimension_is_not_used(plans: None, embedder: Any) -> None:
    embedding = Embedding(model="hashing-256", vector=np.ones(3, np.float32))
    search_sync("docs", "And refunds?", history=[EarlierQuestion("Which plans?", embedding=embedding)])
    assert embedder.questions == ["Which plans?", "And refunds?"]


def test_a_question_that_is_too_long_is_cut_and_embedded_again(plans: None, embedder: Any) -> None:
    embedding = search_sync("docs", "Which plans?").embedding
    long = EarlierQuestion("Which plans? " * 1000, embedding=embedding, is_rewritten=True)
    record = search_sync("docs", "And refunds?", history=[long])
    (shown,) = record.options["history"]
    assert (len(shown["question"]), shown["rewritten"]) == (8000, True)
    assert embedder.questions == ["Which plans?", shown["question"], "And refunds?"]


def test_the_weighted_vector_gives_the_weighted_mean_of_the_cosines() -> None:
    random = np.random.default_rng(3)
    vectors = [vector / np.linalg.norm(vector) for vector in random.normal(size=(3, 16)).astype(np.float32)]
    chunks = [vector / np.linalg.norm(vector) for vector in random.normal(size=(50, 16)).astype(np.float32)]
    weights = [0.25, 0.5, 1.0]
    sums = [sum(weight * float(v @ chunk) for weight, v in zip(weights, vectors, strict=True)) for chunk in chunks]
    made, agreement = weighted_vector(vectors, weights)
    means = [total / sum(weights) for total in sums]
    assert [agreement * float(made @ chunk) for chunk in chunks] == pytest.approx(means, abs=1e-6)
    assert np.linalg.norm(made) == pytest.approx(1)


def test_conversations_are_evaluated(tmp_path: Path, embedder: Any, capsys: Any) -> None:
    corpus, conversations = tmp_path / "corpus.jsonl", tmp_path / "conversations.jsonl"
    texts = {"storage": "Storage of the plans: free 5 GB.", "refunds": "Refunds on the free plan take ten days."}
    corpus.write_text("\n".join(json.dumps({"_id": name, "text": text}) for name, text in texts.items()))
    turns = [("user", "How much storage do the plans have?"), ("assistant", "5 GB."), ("user", "And free?")]
    line = {
        "_id": "c1", "turns": [{"role": role, "text": text} for role, text in turns], "relevant": ["storage"],
    }  # fmt: skip
    first = {"_id": "c2", "turns": line["turns"][:1], "relevant": ["storage"]}
    conversations.write_text(json.dumps(line) + "\n" + json.dumps(first))
    call_command("evaluate_retrieval", corpus=corpus, conversations=conversations, modes="hybrid", json=True)
    figures = json.loads(capsys.readouterr().out)["hybrid"]
    assert (figures["questions"], figures["ndcg@10"]) == (1, 1.0)
    with pytest.raises(CommandError, match="not both"):
        call_command("evaluate_retrieval", corpus=corpus, conversations=conversations, queries=corpus)
    conversations.write_text(json.dumps(first))
    with pytest.raises(CommandError, match="no follow-up"):
        call_command("evaluate_retrieval", corpus=corpus, conversations=conversations)


def test_a_change_of_subject_is_evaluated(tmp_path: Path, embedder: Any, capsys: Any) -> None:
    files = {name: tmp_path / name for name in ("corpus", "queries", "qrels", "after")}
    files["corpus"].write_text(json.dumps({"_id": "refunds", "text": "Refunds take ten days."}))
    files["queries"].write_text(json.dumps({"_id": "q", "text": "How long do refunds take with you?"}))
    files["qrels"].write_text("q\trefunds\t1\n")
    files["after"].write_text(json.dumps({"_id": "c", "turns": [{"role": "user", "text": "Which plans exist?"}]}))
    call_command("evaluate_retrieval", **files, modes="hybrid", json=True)
    assert json.loads(capsys.readouterr().out)["hybrid"]["ndcg@10"] == 1.0
    assert "Which plans exist?" in embedder.questions
    files["after"].write_text(json.dumps({"_id": "c", "turns": []}))
    with pytest.raises(CommandError, match="no question"):
        call_command("evaluate_retrieval", **files)
