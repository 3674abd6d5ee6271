"""Numbers, units, codes and names of a sentence that the passages lack, or say of something else."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from chat.grounding.alignment import Likeness, Surroundings, surroundings
from chat.grounding.sources import GroundingSource, Mention, Sentence
from chat.grounding.support import says
from chat.grounding.words import Word, WordKind

_MOST_LETTERS = 6
"""The most letters of an abbreviation that may stand for words of a passage."""
_LEAST_CODE_PART = 4


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a sentence is compared with."""

    sources: Sequence[GroundingSource]
    known: Sequence[GroundingSource] = ()
    """What of the context is no passage: a number or name of it is not made up."""
    said: Sequence[GroundingSource] = ()
    """What the user said: a number or name of it may restate their case, but not stand in for a passage's."""
    nearest: Sequence[Sentence] = ()
    """The sentences that support it by their words."""

    def has(self, word: Word) -> bool:
        return any(says(source, word) for source in self.sources)

    def is_known(self, word: Word) -> bool:
        return any(says(source, word) for source in self.known)

    def is_said(self, word: Word) -> bool:
        return any(says(source, word) for source in self.said)

    def ordinary(self, keys: Iterable[str]) -> Iterator[Mention]:
        for source in self.sources:
            for key in keys:
                yield from source.ordinary.get(key, ())


def wrong_facts(sentence: Sentence, evidence: Evidence) -> Iterator[str]:
    """Yield the reasons, such as "number 30", "name Denver", "code E-4021" or "unit weeks"."""
    for position, word in enumerate(sentence.words):
        if word.kind is WordKind.NUMBER:
            yield from _wrong_number(sentence, position, evidence)
        elif word.kind is WordKind.CODE:
            yield from _wrong_code(sentence, position, evidence)
        elif word.may_be_name and _stands_for_name(sentence, position, evidence):
            yield f"name {word.text}"
    for name in sentence.names:
        yield from _wrong_name(sentence, name, evidence)


def _stands_for_name(sentence: Sentence, position: int, evidence: Evidence) -> bool:
    """Return whether a passage has a name where the sentence has a word that none has.

    The capital that begins a sentence does not tell that the word is a name.
    """
    word = sentence.words[position]
    if evidence.has(word) or evidence.is_known(word):
        return False
    around = surroundings(sentence, range(position, position + 1))
    names = (name for name in _names(evidence) if not around.carrying.isdisjoint(name.sentence.keys))
    if evidence.is_said(word):
        names = (name for name in names if not name.keys <= sentence.keys)
    best = max((_likeness(around, name) for name in names), key=lambda like: like.total, default=Likeness())
    return best.is_sure


def _wrong_number(sentence: Sentence, position: int, evidence: Evidence) -> Iterator[str]:
    word = sentence.words[position]
    if not evidence.has(word):
        if not evidence.is_known(word) and not (evidence.is_said(word) and _is_of_case(sentence, position, evidence)):
            yield f"number {word.text}"
        return
    own: list[Mention] = []
    others: list[Mention] = []
    for source in evidence.sources:
        for mention in source.numbers:
            (others if mention.keys.isdisjoint(word.values) else own).append(mention)
    if not own:  # as a word: "first", "a"
        own = list(evidence.ordinary(word.values))
    if _is_swapped(surroundings(sentence, range(position, position + 1)), own, others):
        yield f"number {word.text}"
    elif word.unit:
        units = {mention.sentence.words[mention.span.start].unit for mention in own}
        if units and "" not in units and word.unit not in units:
            yield f"unit {word.unit}"


def _is_of_case(sentence: Sentence, position: int, evidence: Evidence) -> bool:
    """Return whether a number that only the user said is about their case, as in "with 7 seats".

    It does not where the passages have another number in its place, or of the same kind in the sentence that supports
    this one: "refunds take 90 days" is wrong if they take 14, whoever said 90.
    """
    others = [mention for source in evidence.sources for mention in source.numbers]
    others = [mention for mention in others if mention.keys.isdisjoint(sentence.values)]
    if _is_swapped(surroundings(sentence, range(position, position + 1)), (), others):
        return False
    kind = _counted(sentence, position)
    nearest = [mention for mention in others if mention.sentence in evidence.nearest]
    return all(kind.isdisjoint(_counted(mention.sentence, mention.span.start)) for mention in nearest)


def _counted(sentence: Sentence, position: int) -> frozenset[str]:
    """Return what a number counts or measures: its unit, or the word beside it."""
    word = sentence.words[position]
    if word.unit:
        return frozenset({word.unit})
    beside = [sentence.words[other] for other in (position - 1, position + 1) if 0 <= other < len(sentence.words)]
    return frozenset(other.key for other in beside if not other.is_function and other.kind is WordKind.WORD)


def _wrong_code(sentence: Sentence, position: int, evidence: Evidence) -> Iterator[str]:
    word = sentence.words[position]
    own: list[Mention] = []
    others: list[Mention] = []
    for source in evidence.sources:
        for mention in source.codes:
            (own if word.key in mention.keys else others).append(mention)
    is_swapped = own and _is_swapped(surroundings(sentence, range(position, position + 1)), own, others)
    if is_swapped:
        yield f"code {word.text}"
    elif not _has_code(word, (*evidence.sources, *evidence.known)):
        instead = [mention for mention in others if mention.keys.isdisjoint(sentence.keys)]
        around = surroundings(sentence, range(position, position + 1))
        if not _has_code(word, evidence.said) or _is_swapped(around, (), instead):
            yield f"code {word.text}"


def _has_code(word: Word, sources: Iterable[GroundingSource]) -> bool:
    """Return whether a text has the code; a part of a longer code or address counts."""
    for source in sources:
        if word.key in source.keys:
            return True
        if any(
            word.key in code or (len(code) >= _LEAST_CODE_PART and code in word.key) for code in source.keys_with_digits
        ):
            return True
    return False


def _wrong_name(sentence: Sentence, name: range, evidence: Evidence) -> Iterator[str]:
    words = [sentence.words[position] for position in name if sentence.words[position].kind is WordKind.NAME]
    missing = [word for word in words if not evidence.has(word) and not evidence.is_known(word)]
    if unsaid := [word for word in missing if not evidence.is_said(word)]:
        if not _is_abbreviated(words, evidence) and (left := [w for w in unsaid if not _is_spelled_out(w, evidence)]):
            yield f"name {' '.join(word.text for word in left)}"
        return
    if missing:
        instead = [mention for mention in _names(evidence) if not mention.keys <= sentence.keys]
        if _is_swapped(surroundings(sentence, name), (), instead):
            yield f"name {' '.join(word.text for word in words)}"
        return
    keys = sentence.name_keys(name)
    own: list[Mention] = []
    others: list[Mention] = []
    for mention in _names(evidence):
        (own if mention.keys <= keys or keys <= mention.keys else others).append(mention)
    own += evidence.ordinary(keys)
    if _is_swapped(surroundings(sentence, name), own, others, evidence.nearest):
        yield f"name {' '.join(word.text for word in words)}"


def _names(evidence: Evidence) -> Iterator[Mention]:
    for source in evidence.sources:
        yield from source.names


def _is_swapped(
    around: Surroundings, own: Iterable[Mention], others: Iterable[Mention], trusted: Sequence[Sentence] = ()
) -> bool:
    """Return whether a passage says this about another number or name.

    A name in the `trusted` sentences, which say the same, needs more to be doubted: people list names in any order.
    """
    best, is_trusted = Likeness(), False
    carrying = around.carrying
    for mention in own:
        if carrying.isdisjoint(mention.sentence.keys):
            continue
        like = _likeness(around, mention)
        if like.total > best.total:
            best, is_trusted = like, mention.sentence in trusted
    return any(
        _likeness(around, mention).is_better_than(best, is_trusted=is_trusted)
        for mention in others
        if not carrying.isdisjoint(mention.sentence.keys)
    )


def _likeness(around: Surroundings, mention: Mention) -> Likeness:
    return around.likeness(surroundings(mention.sentence, mention.span))


def _is_abbreviated(words: list[Word], evidence: Evidence) -> bool:
    """Return whether a passage has the initials of the name, with or without a maker's name before it."""
    initials = "".join(word.text[0] for word in words).casefold()
    endings = [initials[start:] for start in range(len(initials) - 1)]
    return any(ending in source.keys for source in evidence.sources for ending in endings)


def _is_spelled_out(word: Word, evidence: Evidence) -> bool:
    """Return whether a passage has words in a row that begin with the letters of an abbreviation."""
    if not word.text.isupper() or not 2 <= len(word.text) <= _MOST_LETTERS:
        return False
    return any(word.text in sentence.initials for source in evidence.sources for sentence in source.all_sentences)
