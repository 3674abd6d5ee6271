"""Judge each sentence of an answer by the passages that it cites, or by all of the context where it cites none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from chat.citations import Citation
from chat.grounding.claims import Claim, claims_in
from chat.grounding.facts import Evidence, wrong_facts
from chat.grounding.languages import ENGLISH, MOST_WORDS, Language, language_of
from chat.grounding.meaning import MeaningUnavailable, cosines
from chat.grounding.negation import wrong_negations
from chat.grounding.result import Grounding, JudgedSentence, Verdict
from chat.grounding.sources import GroundingSource, Sentence, read_passage, read_source
from chat.grounding.support import Support, find_support
from chat.grounding.words import WordKind, read_words
from common.markdown_units import units

SUPPORTED_SHARE = 0.6
"""The passages must have this share of the words that carry a sentence to support it."""
PARTLY_SHARE = 0.35
SAME_MEANING = 0.6
"""A cosine from which a sentence with too few words of the passage is one step better than its words say."""
_MOST_JUDGED = 200
"""Sentences beyond are not judged: no answer of a support bot is that long."""
_MOST_CHARS = 2_000
"""A longer sentence, such as a text without any full stop, is not judged."""
_STEPS = (Verdict.NOT, Verdict.PARTLY, Verdict.SUPPORTED)
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(kw_only=True)
class _Judgement:
    claim: Claim
    sentence: Sentence
    support: Support
    reasons: tuple[str, ...]
    step: int

    @property
    def is_undecided(self) -> bool:
        """Whether its words are too few, and nothing of it is wrong: its meaning decides."""
        return not self.reasons and self.step < len(_STEPS) - 1 and bool(self.support.positions)


@dataclass(frozen=True, kw_only=True)
class _Context:
    language: Language
    passages: dict[int, GroundingSource]
    others: list[GroundingSource]
    """Kept items of the context that are no passages."""
    given: list[GroundingSource]
    """What the user said: it supports nothing, but a number of it may restate their case."""

    def judge(self, claim: Claim, numbers: frozenset[int]) -> _Judgement | None:
        """Judge a claim by these passages, or by the whole context; None if no word carries it."""
        cited = [self.passages[number] for number in sorted(numbers) if number in self.passages]
        sources = cited or [*self.passages.values(), *self.others]
        names = frozenset[str]().union(*(source.name_keys for source in sources))
        sentence = _read(claim, self.language).with_names(names)
        if not sentence.keys:
            return None
        support = find_support(sentence, sources)
        nearest = [position.sentence for position in support.positions]
        evidence = Evidence(sources=sources, known=self.others, said=self.given, nearest=nearest)
        reasons = list(wrong_facts(sentence, evidence))
        if support.share >= PARTLY_SHARE:
            reasons += wrong_negations(sentence, nearest)
        step = 0 if reasons else (support.share >= PARTLY_SHARE) + (support.share >= SUPPORTED_SHARE)
        return _Judgement(
            claim=claim, sentence=sentence, support=support, reasons=tuple(dict.fromkeys(reasons)), step=step
        )


def ground(
    text: str,
    passages: Sequence[Citation],
    *,
    others: Sequence[str] = (),
    given: Sequence[str] = (),
    uses_meaning: bool = True,
) -> Grounding:
    """Judge the sentences of an answer, and find the cited passages that support nothing of what cites them.

    `others` are texts of the context that are no passages, such as the user's features; `given` is what the user
    said in the conversation. A sentence is judged by the passages that it cites; by all and `others` if it cites none,
    or only passages that support nothing of it. In another language than the passages' only its numbers and codes are
    judged. It runs the embedder, so not on an event loop.
    """
    written_in = _language([text])
    language = _language([passage.content for passage in passages] or others) or written_in or ENGLISH
    own = written_in or language
    claims = claims_in(units(text, own.code))
    claims = [claim for claim in claims if len(claim.unit.text) <= _MOST_CHARS][:_MOST_JUDGED]
    if not claims or not (passages or others):
        return Grounding()
    context = _Context(
        language=language,
        passages={passage.number: _source_of(passage, language) for passage in passages},
        others=[read_source(None, other, "", language) for other in others],
        given=[read_source(None, said, "", language) for said in given],
    )
    if own is not language:
        return Grounding(sentences=tuple(_judged_in_translation(claims, context)))
    judged = [judgement for claim in claims if (judgement := context.judge(claim, claim.cited))]
    is_degraded = not _improve(judged) if uses_meaning else False
    dropped = _unsupported(judged, context)
    for position, judgement in enumerate(judged):
        if judgement.claim.cited & dropped:
            claim = judgement.claim
            judged[position] = context.judge(claim, claim.cited - dropped) or judgement
    return Grounding(
        sentences=tuple(_sentence(judgement) for judgement in judged),
        dropped=tuple(sorted(dropped)),
        is_degraded=is_degraded,
    )


def read_ahead(passages: Sequence[Citation]) -> None:
    """Read the passages before there is an answer, which then need not wait for it; the last ones read are kept."""
    language = _language([passage.content for passage in passages])
    for passage in passages:
        _source_of(passage, language or ENGLISH)


def ground_quotes(text: str, passages: Sequence[Citation]) -> Grounding:
    """Return the grounding of an answer that is made of passages' own words; what is none of these is not judged."""
    sentences = []
    for claim in claims_in(units(text)):
        unit = claim.unit
        for passage in passages:
            if (span := _quoted(unit.text, passage.content)) is not None:
                sentences.append(
                    JudgedSentence(
                        start=unit.start, end=unit.end, verdict=Verdict.SUPPORTED, passage=passage.number, span=span
                    )
                )
                break
    return Grounding(sentences=tuple(sentences))


@lru_cache(maxsize=512)
def _spans(content: str) -> dict[str, tuple[int, int]]:
    return {_plain(unit.text): (unit.start, unit.end) for unit in units(content)}


def _quoted(text: str, content: str) -> tuple[int, int] | None:
    return _spans(content).get(_plain(text))


def _plain(text: str) -> str:
    return " ".join(re.sub(r"\[\d{1,3}\]", "", text).split()).rstrip(" .")


def _source_of(passage: Citation, language: Language) -> GroundingSource:
    return read_passage(passage.number, passage.content, f"{passage.title} {passage.heading_path}", language)


def _read(claim: Claim, language: Language) -> Sentence:
    return Sentence(claim.unit.start, claim.unit.end, tuple(read_words(claim.unit.text, language)))


def _language(texts: Sequence[str]) -> Language | None:
    words: list[str] = []
    for text in texts:
        if len(words) >= MOST_WORDS:
            break
        words += _WORD.findall(text[:2_000].casefold())
    return language_of(words)


def _improve(judged: Sequence[_Judgement]) -> bool:
    """Move what is undecided one step up where the passage means the same; return False if the embedder failed."""
    undecided = [judgement for judgement in judged if judgement.is_undecided]
    pairs = [(judgement.claim.unit.text, _said(judgement)) for judgement in undecided]
    try:
        found = cosines(pairs)
    except MeaningUnavailable:
        return False
    for judgement, cosine in zip(undecided, found, strict=True):
        if cosine is not None and cosine >= SAME_MEANING:
            judgement.step += 1
    return True


def _said(judgement: _Judgement) -> str:
    """Return the text of the passage's best sentence."""
    return " ".join(word.text for word in judgement.support.positions[0].sentence.words)


def _unsupported(judged: Sequence[_Judgement], context: _Context) -> frozenset[int]:
    """Return the cited passages that support nothing of the sentences that cite them, or that they may be meant for.

    A passage that contradicts a sentence is about it, and stays: the reader sees there what is wrong.
    """
    cited: set[int] = set()
    supporting: set[int] = set()
    for judgement in judged:
        cited |= judgement.claim.cited & context.passages.keys()
        for number in (judgement.claim.cited | judgement.claim.covered) & context.passages.keys():
            if number not in supporting and _supports(judgement, context.passages[number]):
                supporting.add(number)
    return frozenset(cited - supporting)


def _supports(judgement: _Judgement, passage: GroundingSource) -> bool:
    if judgement.step and any(position.source is passage for position in judgement.support.positions):
        return True
    return find_support(judgement.sentence, [passage]).share >= PARTLY_SHARE


def _sentence(judgement: _Judgement) -> JudgedSentence:
    verdict, positions = _STEPS[judgement.step], judgement.support.positions
    reasons = judgement.reasons
    if verdict is Verdict.NOT and not reasons:
        reasons = ("words",)
    is_near = bool(positions) and (judgement.step > 0 or judgement.support.share >= PARTLY_SHARE)
    passage = positions[0].source.number if is_near else None
    return JudgedSentence(
        start=judgement.claim.unit.start,
        end=judgement.claim.unit.end,
        verdict=verdict,
        passage=passage,
        span=(positions[0].sentence.start, positions[0].sentence.end) if passage is not None else None,
        reasons=reasons,
    )


def _judged_in_translation(claims: Sequence[Claim], context: _Context) -> list[JudgedSentence]:
    """Return the sentences whose numbers or codes are in no passage; about others a translation tells nothing."""
    evidence = Evidence(sources=[*context.passages.values(), *context.others], said=context.given)
    judged = []
    for claim in claims:
        sentence = _read(claim, context.language)
        facts = [word for word in sentence.words if word.kind in (WordKind.NUMBER, WordKind.CODE)]
        missing = [word for word in facts if not evidence.has(word)]
        if len(missing) < len(facts):  # beside a fact of the passages the user's own may be about their case
            missing = [word for word in missing if not evidence.is_said(word)]
        reasons = tuple(f"{word.kind.value} {word.text}" for word in missing)
        if reasons:
            judged.append(
                JudgedSentence(start=claim.unit.start, end=claim.unit.end, verdict=Verdict.NOT, reasons=reasons)
            )
    return judged
