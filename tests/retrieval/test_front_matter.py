"""Front matter is taken off where it is front matter; elsewhere no text is lost."""

import pytest

from retrieval.readers import FetchedFile, ReadDocument, ReadWarning, Unreadable, read
from retrieval.readers.audience import split_audience
from retrieval.readers.front_matter import split_front_matter
from tests.retrieval.reading import read_all

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)


def many(content: str) -> tuple[ReadDocument, list[str]]:
    found = list(read(FetchedFile(path="a.md", content=content.encode())))
    (document,) = (item for item in found if isinstance(item, ReadDocument))
    return document, [item.code for item in found if isinstance(item, ReadWarning)]


@pytest.mark.parametrize(
    ("head", "metadata"),
    [
        ("title: Fees: what you pay\ndate: 2026-02-30", {"title": "Fees: what you pay", "date": "2026-02-30"}),
        ('title:\tTabs\nauthor: "A"', {"title": "Tabs", "author": "A"}),
        ("title: Tides\nlang: no\nversion: 1.10", {"title": "Tides", "lang": "no", "version": "1.10"}),
        ("date: 2026-03-29 02:30:00", {"date": "2026-03-29T02:30:00"}),
        ("title: Don't: panic\nat: 12:30:00\nzip: 00790", {"title": "Don't: panic", "at": "12:30:00", "zip": "00790"}),
        ("sidebar_position: 3\ndraft: false\nweight: 1.5", {"sidebar_position": 3, "draft": False, "weight": 1.5}),
        ("tags:\n  - a\n  - b\nseo: {x: null}", {"tags": ["a", "b"], "seo": {"x": None}}),
        ("# a comment\ntitle: A\n\nslug: /b", {"title": "A", "slug": "/b"}),
        ("og:title: Card", {"og:title": "Card"}),
        ("shelf_life: 3 days", {"shelf_life": "3 days"}),
        ("Title: A\nDate: 2026-01-02", {"Title": "A", "Date": "2026-01-02"}),
        ("", {}),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_front_matter_is_read_as_its_author_meant_it(head: str, metadata: dict[str, object], newline: str) -> None:
    text = f"---\n{head}\n---\n\n# Text\n\n---\n\nMore." if head else "---\n---\n\n# Text\n\n---\n\nMore."
    found = split_front_matter(text.replace("\n", newline))
    assert (found.metadata, found.warnings) == (metadata, [])
    assert found.text.split() == ["#", "Text", "---", "More."]


def test_dots_end_it_too() -> None:
    assert split_front_matter("---\ntitle: Dots\n...\n\nText.") == ({"title": "Dots"}, "Text.", [])


@pytest.mark.parametrize(
    "text",
    [
        "---\n\n# Rule first\n\nNote: the first line is a rule.\n\n---\n\nThe ferry leaves at six.",
        "---\n\nNote: the kiosk sells no stamps.\n\n---\n\nThe ferry leaves at six.",
        "---\nNote: the kiosk sells no stamps.\n---\n\nThe ferry leaves at six.",
        "---\nnote: the kiosk sells no stamps, and it never did.\n---\n\nThe ferry leaves at six.",
        "---\nClosed: Sundays\n---\n\nThe ferry leaves at six.",
        "---\nDate: 5 May\nFrom: Anna\n---\n\nDear all,",
        "---\n- one\n- two\n---\n\nText.",
        "---\ntitle: A\n\n# Head\n\nProse.\n\n---\n\nText.",
        "----\ntitle: A\n---\n\nText.",
        "--- \n\nText between rules.\n\n---\n",
        " ---\ntitle: A\n---\nText.",
        "***\n\ntitle: A\n\n---\n",
        "---",
    ],
)
def test_a_document_that_begins_with_a_rule_loses_nothing(text: str) -> None:
    document, _ = many(text)
    assert document.text == text and document.title == ""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("---\ntitle: A\nText that never ends it.", "front_matter_as_text"),
        ("---\ntitle: x\n" + "key: value\n" * 10_000, "front_matter_as_text"),
        ("---\ntitle: A\nno entry\n---\nText.", "front_matter_as_text"),
        ("+++\ntitle = A\n+++\nText.", "front_matter_as_text"),
        ("---\ntitle: A\nids: [1, 2\n---\nText.", "front_matter_value_as_text"),
        ("---\ntitle: A\na: !!python/object/apply:os.system [x]\n---\nText.", "front_matter_value_as_text"),
        (f"---\ntitle: A\na: {'[' * 9_000}\n---\nText.", "front_matter_value_as_text"),
        (f"---\ntitle: A\n{LAUGHS}---\nText.", "front_matter_value_as_text"),
    ],
)
def test_what_is_no_metadata_is_a_warning_and_stays(text: str, code: str) -> None:
    document, codes = many(text)
    assert code in codes
    if code == "front_matter_as_text":
        assert document.text == text
    else:
        assert document.text == "Text." and document.title == "A"


def test_a_name_that_comes_twice_is_told() -> None:
    document, codes = many("---\ntitle: A\ntitle: B\n---\nText.")
    assert (document.title, codes) == ("B", ["front_matter_duplicate"])


@pytest.mark.parametrize(
    "text",
    [
        "---\naudience: [premium\n---\nText.",
        "---\naudience: premium\nText without an end.",
        "---\naudience: premium\nno entry\n---\nText.",
        "+++\naudience = premium\n+++\nText.",
    ],
)
def test_a_text_whose_audience_cannot_be_read_is_not_for_everyone(text: str) -> None:
    with pytest.raises(Unreadable, match="audience"):
        many(text)


def test_an_audience_below_an_empty_line_counts() -> None:
    assert split_front_matter("---\n\naudience: premium\n---\nText.").metadata == {"audience": "premium"}


@pytest.mark.parametrize("name", ["Audience", "AUDIENCE", "'Audience'", "audience ", "Audi\u00adence"])
@pytest.mark.parametrize("mark", ["---", "+++"])
def test_an_audience_is_known_in_any_case(name: str, mark: str) -> None:
    text = f"---\n{name}: premium\n---\nText." if mark == "---" else '+++\nAudience = "premium"\n+++\nText.'
    found = split_front_matter(text)
    assert split_audience(found.metadata, [])[1] == ["premium"] and found.text == "Text."


@pytest.mark.parametrize(
    ("said", "audience"),
    [
        ("", ["staff"]),
        ("null", ["staff"]),
        ("''", ["staff"]),
        ("','", ["staff"]),
        ("[]", []),
        ("[premium]", ["premium"]),
    ],
)
def test_an_audience_without_a_value_is_that_of_the_run(said: str, audience: list[str]) -> None:
    metadata = split_front_matter(f"---\ntitle: A\naudience: {said}\n---\nText.").metadata
    assert split_audience(metadata, ["staff"]) == ({"title": "A"}, audience)


@pytest.mark.parametrize(
    "text",
    [
        "\n---\naudience: premium\n---\nText.",
        " \n\ufeff---\nAudience: premium\n---\nText.",
        "---\ntitle: A\n\naudience: premium\n\nText without an end.",
        "---\ntitle: A\n\n\nTeam: x\n\nAUDIENCE: premium\n",
        "----\naudience: premium\n----\nText.",
        "<!-- for the site -->\n---\naudience: premium\n---\nText.",
        " ---\naudience: premium\n---\nText.",
        "Title: A\nAudience: premium\n\nText.",
        "---\n---\naudience: premium\n---\nText.",
        '{\n  "title": "A",\n  "audience": "premium"\n}\n\nText.',
        '{"audience": "premium"}\n\nText.',
        '{"title": "A", "audience": "premium"}\nText.',
        "<!-- audience: premium -->\n# A\n\nText.",
        "<!-- for the site -->\n<!--\ntitle: A\naudience: premium\n-->\nText.",
        "{/* audience: premium */}\n\nText.",
        "[//]: # (audience: premium)\n\nText.",
        "{audience: premium}\n\nText.",
        "<!-- for the site -->\nAudience: premium\n\nText.",
        "<!doctype html>\n<!-- audience: premium -->\nText.",
        "<!-- audience: premium\n\nText.",
        "---\naudience: premium\nAudience: everyone\n---\nText.",
        "---\naudience: premium\naudience:\n---\nText.",
        "---\nAudience: [premium\n---\nText.",
        '{\n  "title": "A", "audience": ["premium"]\n}\n\nText.',
        '{"title": "A",\n "audience": ["premium"]}\n\nText.',
        ';;;\n{"title": "A", "audience": ["premium"]}\n;;;\nText.',
        "---json\n{title: 'A', audience: ['premium']}\n---\nText.",
        "\u3000---\naudience: premium\n---\nText.",
        "\u2028\u2060---\naudience: premium\n---\nText.",
        "\u2014--\ntitle: A\naudience: premium\n---\nText.",
        "***\naudience: premium\n***\nText.",
        "%YAML 1.2\n---\naudience: premium\n---\nText.",
        "---\ntitle: A\n\uff21udience\uff1a premium\n---\nText.",
        "---\ntitle: A\n**Audience**: premium\n---\nText.",
        "```yaml\naudience: premium\n```\nText.",
        "***\n\ntitle: A\naudience: premium\n\nText.",
    ],
)
@pytest.mark.parametrize("path", ["a.md", "a.mdx", "a.txt", "a.html"])
def test_an_audience_that_stands_in_no_valid_front_matter_refuses_the_file(text: str, path: str) -> None:
    if path in ("a.txt", "a.html") and text.startswith("---\n---"):
        text = text[4:]
    with pytest.raises(Unreadable, match="audience"):
        list(read(FetchedFile(path=path, content=text.encode())))


@pytest.mark.parametrize(
    "text",
    [
        "# Guide\n\nAudience: administrators\n\nText.",
        "The audience: who is it?\nIt is everyone.",
        "- Audience: all\n- Level: easy\n\nText.",
        "Text.\n\n---\n\naudience: premium\n",
        "---\n\nFor whom, audience: you.\n\n---\n\nText.",
        "***\n\nWho is our audience?\n\naudience: premium\n",
    ],
)
def test_a_text_that_speaks_of_an_audience_is_a_text(text: str) -> None:
    assert many(text)[0].text == text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.md", '+++\ntitle = "A"\n[extra]\naudience = ["premium"]\n+++\nText.'),
        ("a.md", "---\ntitle: A\nmeta:\n  Audience: premium\n---\nText."),
        ("a.md", "---\ntitle: A\nmeta: {audience: premium}\n---\nText."),
        ("a.jsonl", '{"text": "Text.", "metadata": {"audience": ["premium"]}}\n'),
    ],
)
def test_an_audience_within_another_value_is_not_for_everyone(path: str, text: str) -> None:
    documents, _, reason = read_all(path, text)
    assert not documents and "audience within" in reason


@pytest.mark.parametrize("path", ["a.md", "a.mdx"])
@pytest.mark.parametrize(
    "text",
    [
        "---\ntitle: A\n---\n\n---\nslug: a\naudience: premium\n---\nText.",
        f"---\ntitle: A\nslugs: {'x ' * 15_000}\naudience: premium\n---\nText.",
        "export const metadata = {\n  title: 'A',\n  audience: ['premium'],\n};\n\n# A\n\nText.",
        "---\ntitle: A\n---\n\nexport const frontMatter = {'audience': 'premium'}\n\n<Text />",
    ],
)
def test_an_audience_far_below_in_a_second_front_matter_or_an_export_refuses_the_file(text: str, path: str) -> None:
    documents, _, reason = read_all(path, text)
    assert not documents and "audience" in reason
    (document,), _, _ = read_all(path, f"# Metadata\n\n```js\n{text}\n```\n")
    assert "premium" in document.text


def test_front_matter_with_the_line_breaks_of_old_macs_is_read() -> None:
    (document,), _, _ = read_all("a.md", "---\rtitle: A\raudience: premium\r---\r# A\r\rText.\r")
    assert (document.text, document.metadata["audience"]) == ("# A\n\nText.\n", "premium")


def test_names_in_any_language_are_metadata() -> None:
    found = split_front_matter("---\ntitle: Größe\nüberschrift: Ja\n标签: [a]\n---\n\nText.\n")
    assert (found.metadata, found.text) == ({"title": "Größe", "überschrift": "Ja", "标签": ["a"]}, "Text.\n")
    prose = "---\nÜber uns: Wir sind ein Verein und verkaufen keine Karten.\n---\n\nText.\n"
    assert split_front_matter(prose).text == prose
