"""Count tokens as the model does, and report the encoding used."""

from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from retrieval.encodings import count_tokens, encoding_name_for


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    encoding: str
    is_exact: bool
    """False if tiktoken does not know the model, so that FABRA_ENCODING is used."""

    def count(self, text: str) -> int:
        return _count(self.encoding, text)


@lru_cache(maxsize=1024)  # the same passages are counted again and again
def _count(encoding: str, text: str) -> int:
    return count_tokens(encoding, text)


def tokenizer_for(model: str) -> Tokenizer:
    name = encoding_name_for(model)
    return Tokenizer(encoding=name or settings.FABRA_ENCODING, is_exact=name is not None)
