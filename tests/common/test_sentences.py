"""Sentences of plain text, in several languages and scripts."""

import pytest

from common.sentences import sentences


def parts(text: str, language: str = "en") -> list[str]:
    return [text[start:end] for start, end in sentences(text, language)]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("It works. Try it!", "en", ["It works.", "Try it!"]),
        ("Dr. Smith lives in the U.S. today. He left.", "en", ["Dr. Smith lives in the U.S. today.", "He left."]),
        ("Use a phone, e.g. a Pixel. See Fig. 3 or so.", "en", ["Use a phone, e.g. a Pixel.", "See Fig. 3 or so."]),
        ("It costs 3.50 EUR. Version 2.0.1 is out.", "en", ["It costs 3.50 EUR.", "Version 2.0.1 is out."]),
        ("Read settings.py first. Then go.", "en", ["Read settings.py first.", "Then go."]),
        ("Click Forgot password? on the page. Wait.", "en", ["Click Forgot password? on the page.", "Wait."]),
        ("3. Open the app. Wait.", "en", ["3. Open the app.", "Wait."]),
        ("Wait... then go… now. Done.", "en", ["Wait... then go… now.", "Done."]),
        ('He said "Go away. Now." Then he left.', "en", ['He said "Go away. Now."', "Then he left."]),
        ("(He left. She stayed.) It was over.", "en", ["(He left. She stayed.) It was over."]),
        ("Es gilt z. B. am 3. Mai. Es sind 5 Mio. EUR.", "de", ["Es gilt z. B. am 3. Mai.", "Es sind 5 Mio. EUR."]),
        ("Siehe bzw. lies Nr. 5 dazu. Fertig.", "de", ["Siehe bzw. lies Nr. 5 dazu.", "Fertig."]),
        ("Es kostet evtl. mehr bzw. weniger. Gut.", "en", ["Es kostet evtl. mehr bzw. weniger.", "Gut."]),
        ("第一句。第二句！他说：“走吧。”完了。", "zh", ["第一句。", "第二句！", "他说：“走吧。”", "完了。"]),
        ("一つ目です。二つ目です。", "ja", ["一つ目です。", "二つ目です。"]),
        ("สวัสดีครับ ผมชื่อสมชาย", "th", ["สวัสดีครับ ผมชื่อสมชาย"]),
        ("यह है। वह है।", "hi", ["यह है।", "वह है।"]),
        ("One line\nAnother line", "en", ["One line", "Another line"]),
        ("  \n ", "en", []),
        ("One is. Two is.", "no-such-language", ["One is.", "Two is."]),
    ],
)  # fmt: skip
def test_where_sentences_end(text: str, language: str, expected: list[str]) -> None:
    assert parts(text, language) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is so [1]. It is not [2][3].", ["It is so [1].", "It is not [2][3]."]),
        ("It is so. [1] It is not. [2][3]", ["It is so. [1]", "It is not. [2][3]"]),
        ("It is so.[1] It is not.[2] [3] Really.", ["It is so.[1]", "It is not.[2] [3]", "Really."]),
        ("[1] says so. It is.", ["[1] says so.", "It is."]),
    ],
)
def test_a_citation_belongs_to_the_sentence_before_it(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


def test_a_line_without_end_is_divided_between_sentences() -> None:
    found = parts("He said “a word”. " * 2_000)
    assert set(found) == {"He said “a word”."}


def test_half_a_surrogate_pair_is_a_character_like_another() -> None:
    assert parts("One \ud800 is. Two.") == ["One \ud800 is.", "Two."]
