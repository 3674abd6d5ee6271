"""Mark the words of a query in a text, as the lexical leg would match them."""

import re
from collections.abc import Callable, Iterable, Iterator

from django.db import connection
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from retrieval.search.lexemes import lexical_words
from retrieval.search.spellings import query_words

_LETTER = r"[\w\u0300-\u036f]"
_WORD = re.compile(rf"{_LETTER}(?:(?:{_LETTER}|[-./\\@&'])*{_LETTER})?(?:\+\+|[+#](?!\w))?")
_PART = re.compile(f"{_LETTER}+")
_MAX_WORDS = 20_000


def highlighter(language: str, query: str, texts: Iterable[str]) -> Callable[[str], SafeString]:
    """Return a function that escapes one of the texts as HTML and marks its matching words or parts of words.

    PostgreSQL decides what matches, by the index's own text-search configuration: one statement for all texts.
    """
    words = {word.lower() for text in texts for word in _WORD.findall(text)}
    words |= {part for word in words for part in _PART.findall(word)}
    known = list(words)[:_MAX_WORDS]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT word FROM unnest(%(words)s::text[], %(parsed)s::text[]) AS word(word, parsed), "
            "tsvector_to_array(fabra_lexemes(%(language)s::regconfig, %(query)s)) AS query, "
            "tsvector_to_array(fabra_lexemes(%(language)s::regconfig, parsed)) AS lexemes "
            "WHERE lexemes <@ query AND lexemes <> '{}'",
            {
                "words": known,
                "parsed": [lexical_words(word) for word in known],
                "language": language,
                "query": query_words(query),
            },
        )
        matching = {word for (word,) in cursor.fetchall()}

    def mark(text: str) -> SafeString:
        return format_html_join("", "{}", ((part,) for part in _marked(text, matching)))

    return mark


def _marked(text: str, matching: set[str]) -> Iterator[SafeString | str]:
    """Yield the text in pieces; the matching pieces are marked."""
    end = 0
    for word in _WORD.finditer(text):
        is_whole = word.group().lower() in matching
        for found in [word] if is_whole else _PART.finditer(text, *word.span()):
            if found.group().lower() in matching:
                yield text[end : found.start()]
                yield format_html("<mark>{}</mark>", found.group())
                end = found.end()
    yield text[end:]
