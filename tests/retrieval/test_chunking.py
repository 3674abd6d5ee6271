"""Chunks fit the embedder, keep every word, and know their headings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.chunking import split, title_of
from retrieval.embedders import get_embedder

ARTICLE = (
    "# Guide\n\nIntro.\n\n## Install\n\n" + "Run the installer and wait. " * 60 + "\n\n### On Linux\n\n"
    + "Use the package. " * 60 + "\n\n## Use\n\n```\n# not a heading\n```\n\n" + "Click it. " * 90
)  # fmt: skip


def words(text: str) -> str:
    return "".join(text.split())


def test_each_chunk_fits_the_model_and_knows_its_place() -> None:
    embedder = get_embedder()
    passages = split("Guide", ARTICLE, embedder)
    assert len(passages) > 4
    assert all(embedder.count_tokens(passage.embedded_text) <= embedder.max_tokens for passage in passages)
    assert words("".join(passage.text for passage in passages)) == words(ARTICLE)
    paths = list(dict.fromkeys(passage.heading_path for passage in passages))
    assert paths[-3:] == ["Install", "Install > On Linux", "Use"]
    assert all(passage.embedded_text.startswith(("Guide", "# Guide")) for passage in passages)


@given(st.text(max_size=400))
def test_no_text_is_lost_and_none_is_too_long(text: str) -> None:
    embedder = get_embedder()
    passages = split("Title", text, embedder)
    assert words("".join(passage.text for passage in passages)) == words(text)
    assert all(passage.token_count <= embedder.max_tokens for passage in passages)


def test_the_whole_commonmark_spec_is_split_without_loss(shared_data) -> None:  # type: ignore[no-untyped-def]
    text = (shared_data("commonmark") / "spec.txt").read_text()
    passages = split("CommonMark", text, get_embedder())
    assert words("".join(passage.text for passage in passages)) == words(text)


@pytest.mark.parametrize(
    ("text", "title"), [("# One\n\ntwo", "One"), ("One\n===\n", "One"), ("two", ""), ("## Two", "")]
)
def test_the_title_is_the_first_heading(text: str, title: str) -> None:
    assert title_of(text) == title
