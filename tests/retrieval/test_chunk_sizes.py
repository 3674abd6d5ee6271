"""A chunk is bounded in the embedder's tokens, in the chat model's and in characters, in every script."""

import hashlib
import random
from collections.abc import Callable

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from retrieval.checks import check_chunk_limit
from retrieval.embedders import get_embedder
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.encodings import count_tokens
from retrieval.indexing.chunking import Passage, split
from tests.retrieval.test_chunking import own_words, words

pytestmark = pytest.mark.real_model

CHANCE = random.Random(7)
THAI = ["เรือ", "ท่าเรือ", "ตั๋ว", "ผู้โดยสาร", "ราคา", "บาท", "เวลา", "เช้า", "พนักงาน", "กระเป๋า", "ประกัน", "คืนเงิน", "ยกเลิก"]
CHINESE = "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可"


def some(parts: list[str] | str, count: int, joined_by: str = "") -> str:
    return joined_by.join(CHANCE.choices(parts, k=count))


TEXTS = {
    "Thai": some(THAI, 4000),
    "Thai with phrases": some([some(THAI, 12) for _ in range(40)], 200, " "),
    "Chinese": some(CHINESE, 8000),
    "Japanese": "ありがとうございます、今日はとても良い天気ですね。「そうですね。」" * 200,
    "Lao": "ສະບາຍດີຕອນເຊົ້າຂອບໃຈຫຼາຍໆ" * 200,
    "Khmer": "សួស្តីអ្នកទាំងអស់គ្នា" * 200,
    "Burmese": "မင်္ဂလာပါခင်ဗျားနေကောင်းလား" * 200,
    "Hindi": "यह नाव सुबह सात बजे निकलती है और दोपहर को लौटती है। " * 200,
    "emoji": "👨\u200d👩\u200d👧🇩🇪✊🏽" * 1000,
    "hexadecimal": some("0123456789abcdef", 30_000),
    "base64 in a link": f"# Boarding\n\n![map](data:image/png;base64,{some('ABCabc012+/', 20_000)})\n\nDogs pay half.",
    "minified JSON": "[" + ",".join(f'{{"id":{n},"name":"lamp {n}"}}' for n in range(1000)) + "]",
    "one letter": "a" * 30_000,
    "combining marks without end": "e" + "\u0301" * 20_000,
    "white space": "x" + " " * 40_000 + "y" + "\n" * 40_000 + "z",
    "a table with a giant cell": "| a | b |\n|---|---|\n| " + some("0123456789abcdef", 20_000) + " | x |\n",
    "a table with a giant header": "| " + some("0123456789abcdef", 20_000) + " | b |\n|---|---|\n| x | y |\n",
    "code of one line": "```\n" + some(["alpha", "beta", "=", "(", ")"], 4000) + "\n```\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_chunk_is_within_all_three_bounds_and_no_text_is_lost(name: str, settings) -> None:  # type: ignore[no-untyped-def]
    embedder, text = get_embedder(), TEXTS[name]
    passages = split("A title", text, embedder)
    assert own_words(passages) == words(text)
    assert len(passages) > 1
    for passage in passages:
        assert embedder.count_tokens(passage.embedded_text) <= embedder.max_tokens
        assert count_tokens("o200k_base", passage.text) <= settings.FABRA_CHUNK_MAX_TOKENS
        assert len(passage.text) <= 20 * embedder.max_tokens


@pytest.mark.parametrize("name", ["Thai", "emoji", "hexadecimal", "a table with a giant cell"])
def test_a_lower_limit_of_a_generation_holds_too(name: str) -> None:
    passages = split("A title", TEXTS[name][:5000], get_embedder(), 80)
    assert own_words(passages) == words(TEXTS[name][:5000])
    assert all(passage.token_count <= 80 for passage in passages)


@pytest.mark.parametrize("name", ["Thai", "Japanese", "Lao", "Khmer", "Burmese", "Hindi", "emoji"])
def test_no_boundary_is_inside_what_a_reader_sees_as_one_character(name: str) -> None:
    text = TEXTS[name]
    clusters, at = {0}, 0
    for cluster in regex.findall(r"\X", text):
        clusters.add(at := at + len(cluster))
    start = 0
    for passage in split("", text, get_embedder()):
        start = text.index(passage.text, start)
        end = start + len(passage.text)
        assert {start, end} <= clusters
        start = end


def test_a_text_with_spaces_between_phrases_is_split_at_them() -> None:
    phrases = set(TEXTS["Thai with phrases"].split())
    for passage in split("", TEXTS["Thai with phrases"], get_embedder()):
        assert set(passage.text.split()) <= phrases


def test_a_quotation_mark_stays_with_its_sentence() -> None:
    assert all(passage.text[0] not in "」、。" for passage in split("", TEXTS["Japanese"], get_embedder()))


@pytest.mark.parametrize("name", ["Thai", "Chinese", "hexadecimal"])
def test_an_edit_inside_a_word_without_end_changes_the_chunks_beside_it(name: str) -> None:
    text, embedder = TEXTS[name], get_embedder()
    before = {passage.content_hash for passage in split("Guide", text, embedder)}
    assert len(before) > 40
    for share in (0.1, 0.5, 0.9):
        position = int(len(text) * share)
        edited = text[:position] + text[100:103] + text[position + 1 :]
        after = split("Guide", edited, embedder)
        assert sum(passage.content_hash not in before for passage in after) <= 5


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("ก็" * 500, 500),  # no vowel sign is known, so the tokenizer reads one [UNK]
        ("0f3a" * 200, 200),  # longer than the hundred characters that the tokenizer looks at
        ("ab" * 49, 10),
    ],
)
def test_an_unknown_word_counts_as_its_parts(text: str, least: int) -> None:
    assert least <= get_embedder().count_tokens(text) <= len(text)


def test_ordinary_words_count_as_the_model_reads_them() -> None:
    assert get_embedder().count_tokens("Reset a forgotten password, now! 😀") == 8


class CountingEmbedder(HashingEmbedder):
    counted = 0

    def count_tokens(self, text: str) -> int:
        self.counted += len(text)
        return super().count_tokens(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "0f3a" * n,
        lambda n: "ok ok ok.\n" * n,
        lambda n: "ferry skerries morning noon " * n,
        lambda n: "word" + " " * (4 * n) + "word",
        lambda n: '{"id":1},' * n,
    ],
)
def test_the_work_grows_with_the_text_and_not_with_its_square(make: Callable[[int], str]) -> None:
    counted = []
    for size in (5_000, 20_000):
        embedder = CountingEmbedder("hashing")
        split("", make(size), embedder)
        counted.append(embedder.counted / len(make(size)))
    assert counted[1] <= 1.2 * counted[0] + 1
    assert max(counted) < 12


def test_a_limit_that_holds_no_sentence_is_an_error(settings) -> None:  # type: ignore[no-untyped-def]
    assert check_chunk_limit() == []
    settings.FABRA_CHUNK_MAX_TOKENS = 10
    assert [problem.id for problem in check_chunk_limit()] == ["retrieval.E005"]


def test_a_million_spaces_can_be_counted() -> None:
    assert 5_000 < count_tokens("o200k_base", "x" + " " * 1_000_000 + "y") < 50_000


@given(st.text(alphabet="ab ก็\u0e40\u0e32。、,.🙂\u0301\u200d\n", max_size=1500))
def test_any_mixture_keeps_its_text_and_its_bounds(text: str) -> None:
    embedder = get_embedder()
    passages = split("Title", text, embedder)
    assert own_words(passages) == words(text)
    assert all(passage.token_count <= embedder.max_tokens for passage in passages)


def test_chunks_of_ordinary_english_are_those_of_earlier_versions(shared_data) -> None:  # type: ignore[no-untyped-def]
    """The hashes decide which embeddings an update keeps: other boundaries would embed every document again."""
    passages: list[Passage] = split("Spec", (shared_data("commonmark") / "spec.txt").read_text(), get_embedder())
    digest = hashlib.sha256("".join(passage.content_hash for passage in passages).encode()).hexdigest()
    assert (len(passages), digest) == (746, "6b9a88ff39648c6d0cdddf7a71ed7d275e6caf3a87047bd26c98f0d7d97fcc33")
