"""Find rows by the words of a text, in any language, through an index."""

import re
import string

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery, SearchVector, SearchVectorExact
from django.db.models import F, Func, Q, TextField, Value

_MARKS = string.punctuation
"""They separate words. PostgreSQL's parser would drop what looks like a tag, and keep addresses and hyphens whole."""
_CONFIG = "simple"
"""PostgreSQL's configuration that keeps each word as it is, in lower case."""


def _words(column: str) -> SearchVector:
    separated = Func(F(column), Value(_MARKS), Value(" " * len(_MARKS)), function="translate", output_field=TextField())
    return SearchVector(separated, config=_CONFIG)


def words_index(column: str, name: str) -> GinIndex:
    """Return the index that serves `has_words` of the column."""
    return GinIndex(_words(column), name=name)


def has_words(column: str, term: str) -> Q:
    """Return the condition that the column has words that begin as those of `term` do, all of them.

    A term without a word has none, so that it finds no row.
    """
    beginnings = [f"{word}:*" for word in re.findall(r"[^\W_]+", term)]
    if not beginnings:
        return Q(pk=None)
    query = SearchQuery(" & ".join(beginnings), config=_CONFIG, search_type="raw")
    return Q(SearchVectorExact(_words(column), query))
