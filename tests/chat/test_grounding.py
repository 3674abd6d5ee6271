"""An answer's sentences are judged by the passages that they cite."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.citations import Citation
from chat.evaluation.grounding.corruptions import CORRUPTIONS, Truth
from chat.evaluation.grounding.measure import UNCHANGED, measure
from chat.evaluation.grounding.truths import quotes, read_passages, read_rows, written_by_people
from chat.grounding import Grounding, JudgedSentence, Verdict, ground, ground_quotes
from chat.grounding.languages import ENGLISH, GERMAN, language_of
from chat.grounding.marks import marks_of, without_spans
from chat.grounding.sources import read_source
from tests.cpu_limit import cpu_limit


def passage(number: int, content: str, title: str = "") -> Citation:
    return Citation(
        number=number, document_id=f"d{number}", title=title, heading_path="", index="kb", version=1, chunk_id=number,
        score=1.0, content=content,
    )  # fmt: skip


REFUNDS = passage(
    1,
    "Refunds are paid within 14 days of your request. Trials last 30 days. On the free plan you cannot export data.",
    "Refund policy",
)
CODES = passage(
    2,
    "| Code | Meaning |\n|---|---|\n| E-4021 | The upload timed out. |\n| E-4022 | The file is too large. |",
    "Error codes",
)
SPEAKERS = passage(3, "Anna Berg leads support in Lisbon. Carl Dahl leads sales in Oslo.", "Team")
PASSAGES = [REFUNDS, CODES, SPEAKERS]


def judged(text: str, passages: list[Citation] = PASSAGES, **more: Any) -> list[JudgedSentence]:
    return list(ground(text, passages, uses_meaning=False, **more).sentences)


def verdict(text: str, passages: list[Citation] = PASSAGES, **more: Any) -> tuple[str, tuple[str, ...]]:
    (sentence,) = judged(text, passages, **more)
    return sentence.verdict.value, sentence.reasons


@pytest.mark.parametrize(
    "text",
    [
        "Refunds are paid within 14 days [1].",
        "A refund is paid within fourteen days of the request [1].",
        "You can't export data on the free plan [1].",
        "Trials last 30 days.",
        "E-4021 means that the upload timed out [2].",
        "Anna Berg leads support in Lisbon [3].",
    ],
)
def test_what_a_passage_says_is_supported(text: str) -> None:
    assert verdict(text) == ("supported", ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Refunds are paid within 90 days [1].", "number 90"),
        ("Refunds are paid within ninety days [1].", "number ninety"),
        ("Refunds are paid within 30 days of your request [1].", "number 30"),  # a number of another sentence
        ("Trials last 14 days [1].", "number 14"),
        ("Refunds are paid within 14 weeks [1].", "unit week"),
        ("On the free plan you can export data [1].", "negation cannot"),
        ("Refunds are not paid within 14 days [1].", "negation not"),
        ("Refunds are never paid within 14 days [1].", "negation never"),
        ("E-4099 means that the upload timed out [2].", "code E-4099"),
        ("E-4022 means that the upload timed out [2].", "code E-4022"),  # the code of another row
        ("Refunds are paid by Stripe within 14 days [1].", "name Stripe"),
        ("Support in Lisbon is led by Erik Lund [3].", "name Erik Lund"),
        ("Anna Berg leads sales in Oslo [3].", "name Berg"),  # a name of another sentence
    ],
)
def test_what_contradicts_a_passage_is_not_supported_and_the_reason_is_said(text: str, reason: str) -> None:
    found, reasons = verdict(text)
    assert found == "not"
    assert reason in reasons


def test_what_no_passage_says_is_not_supported() -> None:
    assert verdict("Our office dog sleeps under the table.") == ("not", ("words",))


def test_half_of_what_is_said_is_partly_supported() -> None:
    assert verdict("Refunds are paid quickly after our accountants approve your request [1].")[0] == "partly"


@pytest.mark.parametrize(
    "text",
    [
        "Hello!", "Thank you for your question.", "# Refunds\n", "Here is how:", "Do you want to know more?",
        "I don't know how long that takes.", "The documents do not say how long that takes.",
        "Sorry, I could not find that.", "Let me know if that helps.", "Das weiß ich leider nicht.",
        "```\nrm -rf /tmp/90\n```", "Yes.", "", "   ", "[1]",
    ],
)  # fmt: skip
def test_what_claims_nothing_is_not_judged(text: str) -> None:
    grounding = ground(text, PASSAGES, uses_meaning=False)
    assert grounding.sentences == ()
    assert grounding.share is None


def test_places_are_those_of_the_answer_and_of_the_passage() -> None:
    text = "Hello! Refunds are paid within **14 days** [1].\n\n1. Trials last 30 days [1].\n"
    first, second = judged(text)
    assert text[first.start : first.end] == "Refunds are paid within **14 days** [1]."
    assert text[second.start : second.end] == "Trials last 30 days [1]."
    assert second.span is not None
    assert REFUNDS.content[slice(*second.span)] == "Trials last 30 days."
    assert second.passage == 1


def test_the_share_counts_the_supported_of_the_judged_sentences() -> None:
    text = "Hello! Refunds are paid within 14 days [1]. Trials last 90 days [1]. Does that help?"
    assert ground(text, PASSAGES, uses_meaning=False).to_dict()["share"] == 0.5


def test_a_citation_that_supports_nothing_is_dropped_and_the_rest_of_the_context_asked() -> None:
    grounding = ground("Refunds are paid within 14 days [2].", PASSAGES, uses_meaning=False)
    assert grounding.dropped == (2,)
    (sentence,) = grounding.sentences
    assert (sentence.verdict, sentence.passage) == (Verdict.SUPPORTED, 1)


def test_a_passage_that_contradicts_stays_cited() -> None:
    grounding = ground("Refunds are paid within 90 days of your request [1].", PASSAGES, uses_meaning=False)
    assert grounding.dropped == ()


def test_a_mark_at_the_end_of_a_paragraph_is_for_its_sentences() -> None:
    text = "Refunds are paid within 14 days of your request. Everybody is glad about that and smiles [1]."
    assert ground(text, PASSAGES, uses_meaning=False).dropped == ()


def test_a_sentence_that_cites_two_passages_is_judged_by_both() -> None:
    text = "Refunds are paid within 14 days, and E-4021 means that the upload timed out [1][2]."
    assert verdict(text) == ("supported", ())


def test_other_texts_of_the_context_support_and_the_question_excuses() -> None:
    (sentence,) = judged("Your tier is premium.", others=["User tier: premium"])
    assert (sentence.verdict, sentence.passage, sentence.span) == (Verdict.SUPPORTED, None, None)
    text = "With 7 seats refunds are paid within 14 days of your request [1]."
    assert verdict(text)[1] == ("number 7",)
    assert verdict(text, given=["What about my 7 seats?"]) == ("supported", ())


@pytest.mark.parametrize(
    ("asked", "text", "reason"),
    [
        ("Is it true that refunds take 90 days?", "Refunds are paid within 90 days of your request [1].", "number 90"),
        ("Is it true that refunds take 90 days?", "Yes, refunds take 90 days [1].", "number 90"),
        ("Refunds in ninety days?", "Refunds are paid within ninety days [1].", "number ninety"),
        ("Are the 60 days of the trial over?", "Trials last 60 days [1].", "number 60"),
        ("What is E-4099?", "E-4099 means that the upload timed out [2].", "code E-4099"),
        ("Does Erik Lund lead support?", "Erik Lund leads support in Lisbon [3].", "name Lund"),
        ("Is Anna in Madrid?", "Anna Berg leads support in Madrid [3].", "name Madrid"),
    ],
)
def test_what_the_user_said_does_not_excuse_what_contradicts_the_passage(asked: str, text: str, reason: str) -> None:
    found, reasons = verdict(text, given=[asked])
    assert found == "not"
    assert reason in reasons


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("I asked 10 days ago.", "You asked 10 days ago, and refunds are paid within 14 days of your request [1]."),
        ("I pay by Stripe.", "With Stripe, too, refunds are paid within 14 days of your request [1]."),
        ("My order is R-77.", "Refunds, for R-77 too, are paid within 14 days of your request [1]."),
    ],
)
def test_what_the_user_said_of_their_case_is_excused(asked: str, text: str) -> None:
    assert verdict(text)[0] == "not"
    assert verdict(text, given=[asked]) == ("supported", ())


GERMAN_PASSAGE = passage(
    1,
    "Die Kündigungsfrist beträgt drei Monate. Rückerstattungen erfolgen nicht in bar, und der Support ist unter der "
    "Nummer von Frau Schmidt erreichbar.",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Die Frist für die Kündigung beträgt drei Monate [1].", "supported"),
        ("Die Kündigungsfrist beträgt 3 Monate [1].", "supported"),
        ("Die Kündigungsfrist beträgt sechs Monate [1].", "not"),
        ("Die Kündigungsfrist beträgt drei Wochen [1].", "not"),
        ("Rückerstattungen erfolgen in bar [1].", "not"),
        ("Der Support ist unter der Nummer von Frau Schmidt erreichbar [1].", "supported"),
        ("Der Support ist unter der Nummer von Frau Müller erreichbar [1].", "not"),
    ],
)
def test_german_is_read_as_german(text: str, expected: str) -> None:
    assert verdict(text, [GERMAN_PASSAGE])[0] == expected


@pytest.mark.parametrize(
    ("said", "same", "other"),
    [
        ("返金は14日以内に行われます。", "返金は14日以内に行われます。", "返金は30日以内に行われます。"),
        ("Вы получите возврат в течение 14 дней.", "Вы получите возврат в течение 14 дней.", "Возврат за 30 дней."),
        ("Les remboursements sont versés sous 14 jours.", "Un remboursement est versé sous 14 jours.",
         "Les remboursements ne sont pas versés sous 14 jours."),
    ],
)  # fmt: skip
def test_other_languages_are_judged_by_their_words_and_numbers(said: str, same: str, other: str) -> None:
    assert verdict(same, [passage(1, said)])[0] == "supported"
    assert verdict(other, [passage(1, said)])[0] == "not"


def test_an_answer_in_another_language_than_its_passages_is_judged_by_its_numbers_only() -> None:
    text = (
        "Eine Rückerstattung wird innerhalb von 14 Tagen nach der Anfrage gezahlt, und das ist für alle so [1]. "
        "Sie wird aber nicht nach mehr als 99 Tagen gezahlt [1]."
    )
    (sentence,) = judged(text)
    assert (sentence.verdict, sentence.reasons) == (Verdict.NOT, ("number 99",))


def test_in_another_language_the_user_s_number_is_excused_beside_one_of_the_passages_only() -> None:
    asked = ["Dauert eine Rückerstattung für meine 7 Plätze 90 Tage?"]
    text = "Eine Rückerstattung wird für Ihre 7 Plätze innerhalb von 14 Tagen nach der Anfrage gezahlt [1]."
    assert judged(text, given=asked) == []
    (sentence,) = judged(
        "Ja, eine Rückerstattung wird nach 90 Tagen gezahlt, und das ist für alle so [1].", given=asked
    )
    assert (sentence.verdict, sentence.reasons) == (Verdict.NOT, ("number 90",))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("It costs 1,000 euros.", "It costs 1000 euros."), ("It opens at 9:00.", "It opens at 9 am."),
        ("It is 2.50 long.", "It is 2.5 long."), ("It weighs 5 million tons.", "It weighs 5,000,000 tons."),
        ("Open 24 hours.", "Open 24 h."), ("A dozen eggs fit.", "12 eggs fit."),
    ],
)  # fmt: skip
def test_a_number_is_the_same_however_it_is_written(text: str, value: str) -> None:
    assert verdict(f"{value} [1]", [passage(1, text)])[0] == "supported"


def test_an_extractive_answer_is_supported_by_what_it_quotes() -> None:
    text = "No model is configured.\n\nRefunds are paid within 14 days of your request. [1]\n\n> Trials last 30 days."
    grounding = ground_quotes(text, PASSAGES)
    assert [text[s.start : s.end] for s in grounding.sentences] == [
        "Refunds are paid within 14 days of your request. [1]", "Trials last 30 days."
    ]  # fmt: skip
    assert grounding.share == 1.0


def test_marks_are_taken_out_of_prose_and_places_move() -> None:
    text = "Yes [2]. Call `x[2]` or [2](https://example.com) [1][2]. The end."
    spans = marks_of(text, {2})
    shorter = without_spans(text, spans)
    assert shorter == "Yes. Call `x[2]` or [2](https://example.com) [1]. The end."
    start = text.index("The end.")
    before = Grounding(sentences=(JudgedSentence(start=start, end=len(text), verdict=Verdict.PARTLY),))
    (moved,) = before.without(spans).sentences
    assert shorter[moved.start : moved.end] == "The end."


def test_a_failing_embedder_leaves_the_words(embedder: Any) -> None:
    text = "Refunds are paid quickly after our accountants approve your request [1]."
    assert not ground(text, PASSAGES).is_degraded
    embedder.failure = RuntimeError
    again = "Refunds are paid very quickly after our accountants approve your request [1]."
    grounding = ground(again, PASSAGES)
    assert grounding.is_degraded
    assert grounding.to_dict()["degraded"] is True
    assert [sentence.verdict for sentence in grounding.sentences] == [Verdict.PARTLY]


def test_an_embedder_is_not_asked_about_what_words_decide(embedder: Any) -> None:
    ground("Refunds are paid within 14 days of your request [1]. Trials last 90 days [1].", PASSAGES)
    assert embedder.embedded == []


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_raises_and_every_place_is_in_its_text(answer: str, content: str) -> None:
    source = passage(1, content)
    grounding = ground(answer, [source], uses_meaning=False)
    end = 0
    for sentence in grounding.sentences:
        assert end <= sentence.start < sentence.end <= len(answer)
        end = sentence.end
        if sentence.span:
            assert 0 <= sentence.span[0] < sentence.span[1] <= len(content)


WORDS = st.sampled_from(
    ["Berlin", "refunds", "14", "30", "days", "not", "E-4021", "never", "the", "a", ".", "[1]", "[2]", "%", "$5",
     "1,000", "Anna", "—", "\n", "-", "|", "?", "`"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=60).map(" ".join), st.lists(WORDS, max_size=60).map(" ".join))
def test_marks_can_always_be_taken_out(answer: str, content: str) -> None:
    grounding = ground(answer, [passage(1, content), passage(2, content)], uses_meaning=False)
    spans = marks_of(answer, grounding.dropped)
    shorter = without_spans(answer, spans)
    assert len(shorter) == len(answer) - sum(end - start for start, end in spans)
    for sentence in grounding.without(spans).sentences:
        assert 0 <= sentence.start <= sentence.end <= len(shorter)


@pytest.mark.parametrize("size", [2_000, 20_000])
def test_a_hostile_text_takes_no_quadratic_time(size: int) -> None:
    for piece in ("a1-", "Aa ", "1 ", "[1]", "I don't ", "not ", "a'"):
        with cpu_limit():
            ground(piece * (size // len(piece)), [passage(1, piece * (size // len(piece)))], uses_meaning=False)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corruption_changes_the_sentence_or_is_none(kind: str) -> None:
    text = "Anna Berg cannot pay 14 days late, but Carl Dahl was paid 30 days later."
    truth = Truth(
        text=text, language=ENGLISH, passage=read_source(1, text, "", ENGLISH),
        others=[read_source(1, "The office of Erik Lund is closed.", "", ENGLISH)],
    )  # fmt: skip
    changed = CORRUPTIONS[kind](truth, Random(1))
    if kind == "negation added":  # it has one
        assert changed is None
    else:
        assert changed
        assert changed != text


def test_a_language_is_told_by_its_function_words() -> None:
    assert language_of(["die", "frist", "ist", "nicht", "mehr", "zu", "ändern"]) is GERMAN
    assert language_of(["the", "plan", "is", "not", "for", "you"]) is ENGLISH
    assert language_of([]) is None
    assert language_of(["xyzzy"]) is None


def test_corruptions_of_real_passages_are_found_and_the_passages_own_words_are_no_alarm(shared_data: Any) -> None:
    passages = read_passages(shared_data("xquad_en") / "corpus.jsonl")
    counts = measure([truth for truth in quotes(passages) if truth.half == 2][::8], uses_meaning=False)
    corrupted = [kind for kind in counts if kind != UNCHANGED]
    found = sum(counts[kind].found for kind in corrupted) / sum(counts[kind].total for kind in corrupted)
    assert found >= 0.9
    assert counts[UNCHANGED].share <= 0.05


def test_corruptions_of_people_s_answers_are_found(shared_data: Any) -> None:
    folder = shared_data("multiturn")
    passages = read_passages(folder / "corpus.jsonl")
    truths = [t for t in written_by_people(read_rows(folder / "conversations.jsonl"), passages) if t.half == 2]
    counts = measure(truths, uses_meaning=False)
    corrupted = [kind for kind in counts if kind != UNCHANGED]
    found = sum(counts[kind].found for kind in corrupted) / sum(counts[kind].total for kind in corrupted)
    assert found >= 0.85
    assert counts[UNCHANGED].share <= 0.15  # people also write what none of the passages says
