"""MDX is known by its content, also in .md files; its code goes and its text stays."""

import pytest

from retrieval.readers import FetchedFile, ReadDocument, Unreadable, read
from tests.retrieval.reading import read_all

DOCUSAURUS = """---
title: Install
---

import useBaseUrl from '@docusaurus/useBaseUrl';
import {
  Tabs,
  TabItem as Item,
} from "@theme/Tabs"
export const Highlight = ({children, color}) => (
  <span style={{backgroundColor: color}}>

    {children}

  </span>
);
# Install {#install}

<!-- an editor's note --> {/* another */}
Show the <Highlight color="#25c2a0">gate</Highlight>: <img alt="The gate" src={useBaseUrl('/img/gate.png')}/>

<Tabs groupId="os" values={[{label: 'Windows', value: 'win'}]}>
  <TabItem value="win" label="Windows">Press <kbd>Ctrl</kbd>+<kbd>C</kbd>.</TabItem>
</Tabs>

{isPaid && (<p>Ask the <b>sales</b> team.<br/>Soon.</p>)} {count < 3 ? 'zz' : <em>Or wait.</em>} {'{'} {`as is`}

<Head>
<script type="application/ld+json">
{"@context": "https://schema.org", "@type": "zz"}
</script>
</Head>

<table><tr><td>one</td><td>two</td></tr></table>

- ```js
  import a from 'b'
  ```

```jsx
import x from 'y'
<Tabs>{x}</Tabs> <!-- shown -->
```

Use `<Tabs>` and `{braces}`, <https://x.test>, <your-name>, $x_{1}$ and 3 < 4.
"""


def text_of(path: str, content: str) -> str:
    (found,) = (
        item for item in read(FetchedFile(path=path, content=content.encode())) if isinstance(item, ReadDocument)
    )
    return found.text


@pytest.mark.parametrize("path", ["install.md", "install.mdx", "install.markdown"])
def test_mdx_keeps_its_text_and_loses_its_code_whatever_the_file_is_called(path: str) -> None:
    text = text_of(path, DOCUSAURUS)
    for kept in (
        "# Install", "Show the gate: The gate", "Windows Press Ctrl+C.", "Ask the sales team. Soon.", "Or wait.",
        "{ as is", "one two", "- ```js\n  import a from 'b'\n  ```",
        "```jsx\nimport x from 'y'\n<Tabs>{x}</Tabs> <!-- shown -->\n```",
        "Use `<Tabs>` and `{braces}`, <https://x.test>, <your-name>, $x_{1}$ and 3 < 4.",
    ):  # fmt: skip
        assert kept in text, kept
    prose = "".join(text.replace("- ```js", "```").split("```")[::2])
    for gone in (
        "import", "export", "useBaseUrl", "children", "note", "another", "zz", "schema.org", "<img", "</", "{#",
        "isPaid",
    ):  # fmt: skip
        assert gone not in prose, gone


@pytest.mark.parametrize(
    "text",
    [
        "Hello {name}, write {{ this }} and <b>that</b>.",
        "<details><summary>Why?</summary>So.</details>",
        "A List<String> in a Map<K, V>.",
        "`import x from 'y'` and `<Tabs/>` and `{/* x */}`.",
        "```js\nimport x from 'y'\n<Tabs/>\n```",
        "    import x from 'y'\n    <Tabs/>\n    <img src={x}/>",
        "import duties are paid from January on.\n\nexport default settings are kept.\n\nexport const is a keyword.",
        "Text.\nimport goods from 'abroad'",
        "- one\n\n```\n{/* code */}\n```",
        "Use <script> in HTML, and write <!-- before a note.",
    ],
)
def test_plain_markdown_loses_nothing(text: str) -> None:
    assert text_of("a.md", text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Before <!-- a\n\nnote --> after.", "Before  after."),
        ("A\n\n<script type='application/ld+json'>\n{\"a\": 1}\n</script>\n\nB", "A\n\n\n\nB"),
        ("A\n\n<style>\np {}\n</style>\nB", "A\n\n\nB"),
        ("`<!-- shown -->`\n\n```\n<!-- shown -->\n```\n\n    <!-- shown -->", None),
    ],
)
def test_what_a_browser_does_not_show_of_markdown_goes(text: str, left: str | None) -> None:
    assert text_of("a.md", text) == (text if left is None else left)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("import a from 'b'\nText that follows at once.", "Text that follows at once."),
        ("import 'a.css';\nimport * as b from 'c'\nimport d, {e} from \"f\"\n\nText.", "Text."),
        ("export {a} from 'b'\n\nText.", "Text."),
        ('export default ({children}) => <Layout a="b">{children}</Layout>\n\nText.', "Text."),
        ("export const meta = {\n\n  title: `a } b`,\n  // }\n  x: '}',\n\n}\n\nText.", "Text."),
        ("export async function get() {\n  return {}\n}\nText.", "Text."),
        ("export const broken = {\n\nText.", "Text."),
    ],
)
def test_statements_go_and_the_text_after_them_stays(text: str, left: str) -> None:
    assert text_of("a.mdx", text).strip() == left


def test_braces_without_an_expression_are_text_where_only_tags_are_used() -> None:
    assert text_of("a.md", "<Note>\nHello {name}.\n</Note>").strip() == "Hello {name}."


@pytest.mark.parametrize("suffix", [".md", ".mdx"])
@pytest.mark.parametrize(
    "unit",
    [
        "<!--", "{", "{`", "`", "``a`b```", "<a '", '<a "<a \'', "<a b={", "{<p>", "{/*", "export const x = {\n\n",
        "\n\nimport {a,", "\n\nexport type a", "<T rows={[\"\\\"", "$$", "<script>", "<A>\n", "- ```\n", "> ", "---\n",
        " ",
    ],
)  # fmt: skip
def test_hostile_markdown_is_read_in_linear_time(unit: str, suffix: str) -> None:
    """Half a megabyte of it takes seconds; a quadratic step would exceed the time limit."""
    reason = ""
    try:
        list(read(FetchedFile(path=f"a{suffix}", content=(unit * (400_000 // len(unit)) + "x").encode())))
    except Unreadable as error:
        reason = str(error)
    assert reason in ("", "nested too deep")


FAQ = 'import Faq from "./faq"\n\n# Help\n\n'


@pytest.mark.parametrize("path", ["a.md", "a.mdx"])
def test_questions_and_answers_in_attributes_are_text(path: str) -> None:
    page = f'{FAQ}<Faq question="How do I pay by card?" answer="Open the bill and choose the card." />\n'
    documents, warnings, _ = read_all(path, page)
    assert "How do I pay by card? Open the bill and choose the card." in documents[0].text and not warnings


@pytest.mark.parametrize("path", ["a.md", "a.mdx"])
@pytest.mark.parametrize(
    "code",
    [
        'export const faqs = [{q: "How do I pay by card?", a: "Open the bill and choose the card."}]\n',
        "<Faq reply='Open the bill and choose the card, then confirm it.' />\n",
        '<Faq items={[{q: "How do I pay?", a: "Open the bill and choose the card, please."}]} />\n',
    ],
)
def test_texts_that_go_with_the_code_are_told(path: str, code: str) -> None:
    documents, warnings, _ = read_all(path, f"{FAQ}{code}\nText.\n")
    assert "choose the card" in documents[0].text or [warning.code for warning in warnings] == [
        "code_with_text_left_out"
    ]


@pytest.mark.parametrize(
    "tabs",
    [
        "<Tabs values={[{label: 'Windows 11', value: 'win'}, {label: \"macOS\", value: 'mac'}]}>\n"
        "<TabItem value='win'>Run setup.</TabItem>\n<TabItem value='mac'>Drag the app.</TabItem>\n</Tabs>",
        "<Tabs items={['Windows 11', 'macOS']}>\n<Tabs.Tab>Run setup.</Tabs.Tab>\n"
        "<Tabs.Tab>Drag the app.</Tabs.Tab>\n</Tabs>",
    ],
)
def test_names_of_tabs_are_text(tabs: str) -> None:
    text = text_of("a.mdx", f"{FAQ}{tabs}\n")
    assert "- Windows 11\n- macOS\n" in text and "Run setup." in text and "Drag the app." in text


def test_the_questions_that_a_component_is_given_are_text() -> None:
    text = text_of("a.mdx", f"{FAQ}<Faq items={{[{{q: 'To \\'hub0\\'?', a: `Within 3 days.`}}, {{q: 'Why?'}}]}} />\n")
    assert "- To 'hub0'? Within 3 days.\n- Why?" in text


@pytest.mark.parametrize(
    "code",
    [
        "export const faqs = [" + ",".join(f"{{q: 'To hub{n}?', a: 'In {n} days.'}}" for n in range(9)) + "]\n",
        "".join(f"<Plan tier='Pro {n}' cost='49 EUR' seats='25 seats' support='24/7 phone'/>\n" for n in range(3)),
        "<Hours days={{mon: '9 to 17', tue: '9 to 17', wed: '9 to 13'}}/>\n",
    ],
)
def test_many_short_texts_that_go_with_the_code_are_told(code: str) -> None:
    _, warnings, _ = read_all("a.mdx", f"{FAQ}The answers.\n\n{code}\n")
    assert [warning.code for warning in warnings] == ["code_with_text_left_out"]


def test_code_without_text_is_not_told() -> None:
    classes = "flex grow items-center gap-2 rounded p-4 shadow"
    page = f'{FAQ}<Box className="{classes}">She said "it is a fine day for it".</Box>'
    assert not read_all("a.mdx", page)[1]


PLACEHOLDERS = "A Promise<Order>, a List<string>, x < 5 and y > 3: press <Enter>, cp <source> <path>, <Your name>."


@pytest.mark.parametrize("path", ["a.md", "a.mdx"])
def test_what_looks_like_a_tag_and_is_never_closed_is_text(path: str) -> None:
    page = f"{FAQ}{PLACEHOLDERS}<br/>\n\n<Note>\n\n```\n</Enter>\n```\n\nMind it.</Note>\n"
    text = text_of(path, page)
    assert PLACEHOLDERS in text and "Note" not in text and "<br" not in text


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("{`$5 per month`}", "$5 per month"), ("<Code>{`curl ${HOST}/a`}</Code>", "curl ${HOST}/a"),
        ("{`C:\\\\data`}", "C:\\data"), ("<Card title={`From $5`} />", "From $5"),
    ],
)  # fmt: skip
def test_a_template_literal_is_its_text(code: str, shown: str) -> None:
    assert shown in text_of("a.mdx", f"{FAQ}It says {code}.")


@pytest.mark.parametrize("above", ["# Help", "## Help {#help}", "{/* note */}", "<!-- note -->"])
def test_an_import_may_follow_a_heading_or_a_comment(above: str) -> None:
    assert "import" not in text_of("a.md", f"Text.\n\n{above}\nimport Tabs from '@theme/Tabs'\n\nMore.")
    assert "import duties" in text_of("a.md", f"Text.\n\n{above}\nimport duties are paid.\n\n<Note />")


def test_an_import_in_a_script_makes_no_expressions_of_braces() -> None:
    script = "<script setup>\nimport {ref} from 'vue'\n\nimport Box from './Box.vue'\n</script>\n\n"
    text = text_of("a.md", f"{script}GET /users/{{id}} for {{{{ name }}}}.\n\n<Box />\n")
    assert text.strip() == "GET /users/{id} for {{ name }}."


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ('<ParamField path="user_id" type="string">The user.</ParamField>', "user_id The user."),
        ('<ResponseField name="total">The sum.</ResponseField>', "total The sum."),
        ('<TabItem value="npm">Run it.</TabItem>', "npm Run it."),
        ('<TabItem value="npm" label="By npm">Run it.</TabItem>', "By npm Run it."), ('<Icon name="check" />', ""),
    ],
)  # fmt: skip
def test_a_box_keeps_its_name(tag: str, shown: str) -> None:
    assert text_of("a.mdx", f"{FAQ}{tag}").split("# Help")[1].strip() == shown


@pytest.mark.parametrize("path", ["a.md", "a.mdx"])
@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('<head><script type="application/ld+json">{"@id":"schema"}</script></head>\n\nAsk us.', "Ask us."),
        ('<div><script async src="zz">zz()</script></div>\n\nAsk us.', "Ask us."),
        ("<Note>Refunds take a week.</Note>", "Refunds take a week."),
        ("Press <Kbd>Ctrl</Kbd> twice.", "Press Ctrl twice."),
        ("# Fees\n\n<Note title='Fees'>They are <b>low</b>.</Note>\n\nAsk us.", "Fees They are low"),
    ],
)  # fmt: skip
def test_what_stands_on_one_line_goes_too(path: str, text: str, left: str) -> None:
    found = text_of(path, text)
    assert left in found.replace("<b>", "").replace("</b>", "")
    assert not any(code in found for code in ("schema", "zz", "Note>", "Kbd>"))


def test_tags_in_prose_that_are_not_closed_make_no_mdx() -> None:
    for text in ("Type <Name> and {braces}.", "<B>Bold</B> and {braces}.", "A `<Note>x</Note>` and {braces}."):
        assert text_of("a.md", text) == text
