"""Chunks fit the embedder, keep every word, and know their headings."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.embedders import get_embedder
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.indexing.chunking import Passage, split, title_of
from tests.cpu_limit import cpu_limit

pytestmark = pytest.mark.real_model

ARTICLE = (
    "# Guide\n\nIntro.\n\n## Install\n\n" + "Run the installer and wait. " * 60 + "\n\n### On Linux\n\n"
    + "Use the package. " * 60 + "\n\n## Use\n\n```\n# not a heading\n```\n\n" + "Click it. " * 90
)  # fmt: skip


def words(text: str) -> str:
    return "".join(text.split())


def own_words(passages: list[Passage]) -> str:
    """Return the document's words, without the table headers and opening lines that later passages repeat."""
    return words("".join(passage.text.removeprefix(passage.repeated) for passage in passages))


def test_each_chunk_fits_the_model_and_knows_its_place() -> None:
    embedder = get_embedder()
    passages = split("Guide", ARTICLE, embedder)
    assert len(passages) > 4
    assert all(embedder.count_tokens(passage.embedded_text) <= embedder.max_tokens for passage in passages)
    assert own_words(passages) == words(ARTICLE)
    paths = list(dict.fromkeys(passage.heading_path for passage in passages))
    assert paths[-3:] == ["Install", "Install > On Linux", "Use"]
    assert all(passage.embedded_text.startswith(("Guide", "# Guide")) for passage in passages)


def test_a_heading_stays_with_what_stands_under_it() -> None:
    steps = "\n".join(f"{number}. Run the installer again, and wait." for number in range(1, 15))
    paragraph = "Click it, and it is used. " * 6
    passages = split("Guide", f"# Guide\n\n## Use\n\n{paragraph}\n\n{steps}\n\n{paragraph}", get_embedder())
    assert len(passages) > 1
    assert all(re.sub(r"(?m)^#.*$", "", passage.text).strip() for passage in passages)


@given(st.text(max_size=400))
def test_no_text_is_lost_and_none_is_too_long(text: str) -> None:
    embedder = get_embedder()
    passages = split("Title", text, embedder)
    assert own_words(passages) == words(text)
    assert all(passage.token_count <= embedder.max_tokens for passage in passages)


def test_the_whole_commonmark_spec_is_split_without_loss(shared_data) -> None:  # type: ignore[no-untyped-def]
    text = (shared_data("commonmark") / "spec.txt").read_text()
    passages = split("CommonMark", text, get_embedder())
    assert own_words(passages) == words(text)


@pytest.mark.parametrize(
    ("text", "title"), [("# One\n\ntwo", "One"), ("One\n===\n", "One"), ("two", ""), ("## Two", "")]
)
def test_the_title_is_the_first_heading(text: str, title: str) -> None:
    assert title_of(text) == title


WORDS = "the quick system of your account should open a billing page when you click and wait for some mail"


def paragraph(chance: random.Random, sentences: int) -> str:
    return " ".join(" ".join(chance.choices(WORDS.split(), k=chance.randint(5, 18))) + "." for _ in range(sentences))


def long_document(chance: random.Random, kind: str) -> list[str]:
    if kind == "one paragraph":
        return [paragraph(chance, 700)]
    if kind == "list":
        return [f"{n + 1}. {paragraph(chance, 2)}" for n in range(300)]
    blocks = [paragraph(chance, chance.randint(3, 14)) for _ in range(100)]
    return [f"## {block[:20]}\n\n{block}" for block in blocks] if kind == "headings" else blocks


@pytest.mark.parametrize("kind", ["headings", "paragraphs", "list", "one paragraph"])
def test_an_edit_changes_the_chunks_beside_it_and_no_others(kind: str) -> None:
    chance = random.Random(1)
    blocks = long_document(chance, kind)
    before = split("Guide", "\n\n".join(blocks), get_embedder())
    assert len(before) >= 50
    hashes = {passage.content_hash for passage in before}
    for number in range(24):
        index = chance.randrange(1, len(blocks)) if len(blocks) > 1 else 0
        sentences = blocks[index].split(". ")
        at = chance.randrange(1, len(sentences)) if len(sentences) > 1 else 0
        sentences[at:at] = [] if number % 2 else [paragraph(chance, 2).rstrip(".")]
        del sentences[at + 1 : at + 1 + number % 3]
        edited = [*blocks[:index], ". ".join(sentences), *blocks[index + 1 :]]
        after = split("Guide", "\n\n".join(edited), get_embedder())
        assert sum(passage.content_hash not in hashes for passage in after) <= 3


def test_code_and_tables_that_fit_are_not_torn_apart() -> None:
    code = "```python\n" + "\n\n".join(f"def work_{n}():\n    return {n}" for n in range(8)) + "\n```"
    table = "| Plan | Price |\n|---|---|\n" + "\n".join(f"| Plan {n} | {n} dollars |" for n in range(12))
    filler = "Some words of the guide go here. " * 20
    text = f"# Guide\n\n{filler}\n\n{code}\n\n{filler}\n\n{table}\n\n{filler}"
    texts = [passage.text for passage in split("Guide", text, get_embedder())]
    assert sum(code in text for text in texts) == 1
    assert sum(table in text for text in texts) == 1


def test_a_large_table_is_split_between_rows_and_repeats_its_header() -> None:
    header = "| Plan | Price |\n|---|---|\n"
    rows = [f"| Plan {n} | {n} dollars a month |" for n in range(100)]
    passages = split("", "Prices:\n\n" + header + "\n".join(rows), get_embedder())
    assert len(passages) > 3
    assert all(header in passage.text for passage in passages)
    found = [
        line
        for passage in passages
        for line in passage.text.splitlines()
        if line.startswith("| Plan ") and line[7].isdigit()
    ]
    assert found == rows
    assert all(passage.token_count <= get_embedder().max_tokens for passage in passages)


def test_large_code_is_split_between_lines_and_says_again_what_it_is() -> None:
    lines = [f"    value_{n} = compute({n}, scale={n * 3})" for n in range(120)]
    passages = split("", "```python\n" + "\n".join(lines) + "\n```\n", get_embedder())
    assert len(passages) > 5
    assert all(passage.text.startswith("```python\n") for passage in passages)
    assert [line for passage in passages for line in passage.text.splitlines() if "value_" in line] == lines


def test_every_example_of_the_commonmark_spec_keeps_its_text(shared_data) -> None:  # type: ignore[no-untyped-def]
    spec = (shared_data("commonmark") / "spec.txt").read_text()
    fence = "`" * 32
    examples = re.findall(rf"^{fence} example\n(.*?)^\.\n.*?^{fence}$", spec, re.DOTALL | re.MULTILINE)
    assert len(examples) == 655
    for example in examples:
        text = example.replace("→", "\t")
        if text.strip():
            assert own_words(split("Title", text, get_embedder())) == words(text)


@pytest.mark.parametrize("unit", [" ", "\t", "\u2028", "\u3000", "\r"])
def test_a_long_run_of_white_space_is_split_in_linear_time(unit: str) -> None:
    with cpu_limit():
        passages = split("", "a" + unit * 400_000 + "b", HashingEmbedder("hashing-256"))
    assert own_words(passages) == "ab"
