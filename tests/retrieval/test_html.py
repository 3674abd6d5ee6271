"""A page keeps its text, whatever its tags and names; menus and banners go, and much that goes is told."""

import pytest

from retrieval.readers import FetchedFile, ReadDocument, ReadWarning, Unreadable, read

LINKS = "".join(f"<li><a href='/{n}'>Zzmenu {n}</a></li>" for n in range(12))
PROSE = "<p>Parcels to Norway take six working days. Parcels to Iceland take nine, because the ferry sails weekly.</p>"
SAID = "Parcels to Norway take six working days, and those to Iceland take nine of them."
FOOTER = "<footer>Zzfoot, all rights reserved.</footer>"


def page(content: str) -> tuple[ReadDocument, list[ReadWarning]]:
    found = list(read(FetchedFile(path="a.html", content=content.encode())))
    (document,) = (item for item in found if isinstance(item, ReadDocument))
    return document, [item for item in found if isinstance(item, ReadWarning)]


def text_of(content: str) -> str:
    return page(content)[0].text


@pytest.mark.parametrize(
    "name", ["cookie", "cookie-policy", "menu", "share", "social", "related", "banner", "footer", "sidebar", "nav"]
)
@pytest.mark.parametrize(
    "frame", ["<main>{}</main>", "<article>{}</article>", "{}", "<form>{}</form>", "<div>{}</div>"]
)
def test_a_name_is_no_proof_of_boilerplate(name: str, frame: str) -> None:
    inner = f"<h1>Shipping</h1><section id='{name}'>{PROSE}</section><div class='box {name}'><h2>Fees</h2>Nine.</div>"
    text = text_of(f"<nav><ul>{LINKS}</ul></nav>" + frame.format(inner))
    assert "Iceland take nine" in text and "## Fees\n\nNine." in text and "Zzmenu" not in text


@pytest.mark.parametrize("tag", ["form", "aside", "header", "footer", "dialog", "nav", "noscript", "fieldset", "table"])
def test_a_tag_is_no_proof_of_boilerplate(tag: str) -> None:
    inner = "<tr><td>{}</td></tr>" if tag == "table" else "{}"
    assert "Iceland take nine" in text_of(f"<{tag}>{inner.format('<h1>Shipping</h1>' + PROSE)}</{tag}>")


def test_a_page_inside_a_form_is_a_page() -> None:
    found, warnings = page(
        "<form method=post action='./shipping.aspx'><input type=hidden name=__VIEWSTATE value=dDw>"
        f"<ul>{LINKS}</ul><div id=content><h1>Shipping times</h1>{PROSE * 2}</div>{FOOTER}</form>"
    )
    assert found.title == "Shipping times"
    assert found.text.startswith("# Shipping times\n\nParcels to Norway") and "Zz" not in found.text
    assert [warning.code for warning in warnings] == ["surroundings_left_out"]


def test_formulas_and_boxes_of_lists_keep_what_they_say() -> None:
    text = text_of(
        f"<main>{PROSE}<p>At 2<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math> of <math><mrow><msup><mn>10</mn>"
        "<mn>6</mn></msup><mo>+</mo><msubsup><mi>x</mi><mn>1</mn><mrow><mi>n</mi><mo>-</mo><mn>1</mn></mrow></msubsup>"
        "</mrow></math>, <math><msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt></math>.</p><ul><li><input type=checkbox"
        " checked disabled> Paid</li><li><input type=checkbox disabled> Sent</li></ul><input type=checkbox> Me"
    )
    assert "At 2 1/2 of 10^6+x1^(n-1), √(x+1)." in text
    assert "- [x] Paid\n- [ ] Sent" in text and "[ ] Me" not in text


@pytest.mark.parametrize(
    "formula",
    [
        "<span class=katex><span>{}</span><span class=katex-html aria-hidden=true>E=mc2</span></span>",
        "<span class=MathJax><nobr aria-hidden=true><span>E=mc2</span></nobr><span>{}</span></span>",
        "<span class=mwe-math-element><span>{}</span><img aria-hidden=true alt='E=mc^2'></span>",
    ],
)
def test_a_formula_that_is_drawn_as_well_is_read_once(formula: str) -> None:
    math = "<math><mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup></math>"
    assert text_of(f"<p>So {formula.format(math)} holds.</p>") == "So E=mc^2 holds."


def test_the_second_form_within_a_formula_is_none() -> None:
    math = "<semantics><mi>x</mi><annotation-xml><ci>x</ci></annotation-xml></semantics>"
    assert text_of(f"<p>Let <math>{math}</math> be.</p>") == "Let x be."


def test_a_section_of_cdata_is_text() -> None:
    code = "<p>Call <code><![CDATA[pay <b> && go]]></code> now.</p><script>//<![CDATA[\nzz\n//]]></script>"
    assert text_of(code + "<p>Then wait.</p>") == "Call `pay <b> && go` now.\n\nThen wait."


def test_a_field_that_can_only_be_copied_is_text() -> None:
    assert text_of("<p>Address: <input readonly value='https://e.com/x'> <input value=Zz></p>") == (
        "Address: https://e.com/x"
    )


def test_what_is_hidden_until_it_is_clicked_is_text() -> None:
    text = text_of(
        "<main><h1>Parking</h1><h2><button aria-expanded=false>Can I park a caravan?</button></h2>"
        "<div class='collapse' hidden>Only on deck four.</div>"
        "<ul role=tablist><li role=tab>Debian</li><li role=tab>Windows</li></ul>"
        "<div role=tabpanel>Run apt.</div>"
        "<div role=tabpanel hidden aria-hidden=true style='display:none'>Unpack it.</div>"
        "<details><summary>And bicycles?</summary>They are free.</details>"
        "<div><button>Per week</button><button>Per month</button></div></main>"
    )
    for kept in (
        "## Can I park a caravan?\n\nOnly on deck four.", "- Debian\n- Windows", "Unpack it.",
        "And bicycles?\n\nThey are free.", "Per week Per month",
    ):  # fmt: skip
        assert kept in text


@pytest.mark.parametrize(
    ("tag", "link"),
    [
        ("<ul class='nav nav-tabs'>", "data-toggle=tab"), ("<ul class='nav nav-pills'>", "data-bs-toggle=pill"),
        ("<ul role=tablist class=menu>", "role=tab"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("page", ["main", "div"])
def test_tabs_that_are_links_keep_their_names(tag: str, link: str, page: str) -> None:
    names = "".join(
        f"<li class=nav-item><a class=nav-link {link} href='#{n}'>{n}</a></li>" for n in ("Debian", "macOS")
    )
    text = text_of(
        f"<{page}><h1>Install</h1><p>{PROSE}</p>{tag}{names}{tag.split()[0].replace('<', '</')}>"
        "<div id=Debian>Run apt.</div><div id=macOS>Drag the app.</div></{page}>"
    )
    assert "- Debian\n- macOS" in text and "Drag the app." in text


@pytest.mark.parametrize("page", ["main", "div"])
def test_an_item_that_is_a_tab_keeps_the_name_in_its_link(page: str) -> None:
    text = text_of(
        f"<{page}><h1>Install</h1><p>{PROSE}</p><ul class=nav><li role=tab><a href='#d'>Debian</a></li>"
        f"<li role=tab><a href='#m'>macOS</a></li></ul><div id=d>Run apt.</div><div id=m>Drag the app.</div></{page}>"
    )
    assert "- Debian\n- macOS" in text


def test_a_menu_that_folds_is_a_menu() -> None:
    links = "".join(f"<li><a data-bs-toggle=collapse href=/{n}>Zz{n}</a></li>" for n in ("news", "shop", "jobs"))
    text = text_of(f"<main><ul class=nav>{links}</ul><h1>Shipping</h1><p>{PROSE * 4}</p></main>")
    assert text.startswith("# Shipping") and "Zz" not in text


def test_menus_go_by_their_links_and_banners_by_their_place() -> None:
    text = text_of(
        f"<div id=top><a href=/>Zzhome</a> <a href=/b>Zzblog</a> <a href=/c>Zzshop</a></div><div><ul>{LINKS}</ul></div>"
        f"<div class=col9><nav class=toc><h2>Zzcontents</h2><a href=#a>Zza</a></nav><h1>Shipping<a href=#x>#</a></h1>"
        f"{PROSE * 4}<p>See <a href=/fees>the fees</a> and <a href=/islands>the islands</a>.</p>"
        "<ul><li><a href=/x>Customs</a></li><li><a href=/y>Duties</a></li><li><a href=/z>Returns</a></li></ul></div>"
        f"<div class=cookie-banner>We use zzcookies. <button>Zzaccept</button></div>{FOOTER}"
    )
    assert "zz" not in text.lower() and text.startswith("# Shipping\n")
    assert "[Customs](/x)" in text and "[the fees](/fees)" in text


def test_a_page_of_links_is_its_links() -> None:
    for frame in (
        "<h1>Help</h1><ul>{}</ul>",
        "<div><h1>Help</h1></div><div><ul>{}</ul></div>",
        "<main><ul>{}</ul></main>",
    ):
        assert "Zzmenu 11" in text_of(frame.format(LINKS))


def test_more_than_a_tenth_is_not_left_out_in_silence() -> None:
    around = "<dialog>Refunds need the number on the ticket.</dialog>"
    _, warnings = page(f"<main><h1>Shipping</h1>{PROSE}</main>{around}{FOOTER}")
    [warning] = warnings
    assert warning.code == "surroundings_left_out"
    assert "11 of 29 words" in warning.message and "<dialog> of 7 words, 'Refunds need the number" in warning.message
    text, warnings = page(f"<main><h1>Shipping</h1>{PROSE}</main><aside>{PROSE * 2}</aside>")
    assert text.text.count("Iceland") == 3 and not warnings
    assert not page(f"<main><h1>Shipping</h1>{PROSE * 4}</main>{FOOTER}")[1]


LONG = PROSE * 12
"""So much text that what is lost beside it is no tenth of the page."""


@pytest.mark.parametrize("tag", ["header", "footer", "aside", "dialog", "noscript"])
def test_a_tag_within_the_text_of_a_page_without_a_main_part_keeps_its_text(tag: str) -> None:
    sections = "".join(f"<section><{tag}><h2>{name}</h2></{tag}>{PROSE}</section>" for name in ("Refunds", "Delivery"))
    text = text_of(f"<body><h1>Help</h1>{sections}{FOOTER}</body>")
    assert "## Refunds" in text and "## Delivery" in text and "Zzfoot" not in text
    text = text_of(f"<h1>Help</h1>{LONG}<{tag}>Refunds need the number on the ticket.</{tag}>{LONG}{FOOTER}")
    assert "Refunds need the number" in text and "Zzfoot" not in text


@pytest.mark.parametrize("name", ["menu", "share", "social", "cookie", "feedback", "related", "promo", "sidebar"])
@pytest.mark.parametrize("after", ["", LONG, FOOTER])
def test_a_name_without_links_is_no_proof_at_the_end_of_a_page_either(name: str, after: str) -> None:
    said = f"<h2>Menu</h2><div class='{name}'><p>Soup of the day is served from noon until two.</p></div>"
    assert "Soup of the day" in text_of(f"<h1>La Piazza</h1>{LONG}{said}{after}")
    assert "Soup of the day" in text_of(f"<h1>La Piazza</h1>{LONG}{said.removeprefix('<h2>Menu</h2>')}{after}")


@pytest.mark.parametrize("frame", ["{}", "<main>{}</main>", "<div><main>{}</main></div>", "<article>{}</article>"])
@pytest.mark.parametrize("tag", ["aside", "aside class=sidebar", "div role=complementary"])
@pytest.mark.parametrize(
    "said", ["Refunds need the number on the ticket.", "<h2>Note</h2><p>" + "Refunds need it " * 5]
)
def test_what_stands_beside_a_text_keeps_its_sentences(frame: str, tag: str, said: str) -> None:
    aside = f"<{tag}>{said}</{tag.split()[0]}>"
    assert "Refunds need" in text_of(frame.format(f"<h1>Help</h1>{LONG}") + aside + FOOTER)


@pytest.mark.parametrize(
    "aside",
    [
        f"<aside><h2>Zzpages</h2><ul>{LINKS}</ul></aside>",
        "<aside class=newsletter>Zzget our news once in a week, and all of our offers before others do.</aside>",
        "<aside>Zzshop opened</aside>",
    ],
    ids=["links", "its name", "no sentence"],
)
def test_what_stands_beside_a_main_part_and_says_nothing_goes(aside: str) -> None:
    assert "Zz" not in text_of(f"<main><h1>Help</h1>{LONG}</main>{aside}{FOOTER}")


@pytest.mark.parametrize(
    "frame",
    [
        "<header><a href=/>Zzhome</a> Zztagline of the shop</header>{}",
        "<div><header><h1>Zzshop</h1><a href=/a>Zza</a> <a href=/b>Zzb</a> <a href=/c>Zz</a></header><p>{}</p></div>",
        "<div class=banner>Zzoffer of the week <button>Zzbuy</button></div>{}",
        "{}<footer><h4>Zzcompany</h4><ul>" + LINKS + "</ul><p>Zz rights reserved.</p></footer>",
        "{}<ul><li><a href=/up>Up</a></ul><footer>Zzfoot</footer><div id=cookies>Zz? <button>Zzyes</button></div>",
        "{}<div class=newsletter>Zzsubscribe <input name=mail></div><noscript>Zz needs JavaScript.</noscript>",
    ],
    ids=range(6),
)  # fmt: skip
def test_a_page_without_a_main_part_has_its_frame_at_its_ends(frame: str) -> None:
    text = text_of(frame.format(f"<h1>Shipping</h1>{LONG}"))
    assert "zz" not in text.lower() and text.count("Iceland") == 12


def test_blocks_and_inline_text_become_markdown() -> None:
    assert text_of(
        "<h2>One <b>two</b></h2><p>a <strong>b</strong><em> c</em> 10<sup>6</sup><br>d</p><blockquote><p>e</p><p>f</p>"
        "</blockquote><ul><li>g<ol start=3><li>h</li></ol></li><li><p>i</p><p>j</p></li></ul>"
        "<dl><dt>k</dt><dd>l</dd></dl>"
        "<pre class=language-sh>m\n```\nn</pre><p><code>`</code> <a href='https://x.test/a b'>o</a>"
        " <a href='javascript:p'>p</a> <a href='#q'>q</a></p>"
    ) == (
        "## One two\n\na **b** *c* 10^6\nd\n\n> e\n>\n> f\n\n- g\n  3. h\n- i\n\n  j\n\nk\n\nl\n\n"
        "````sh\nm\n```\nn\n````\n\n`` ` `` [o](https://x.test/a%20b) p q"
    )


def test_the_title_is_the_main_heading() -> None:
    own = f"<title>T</title><h1>Acme</h1><main><h1>Reset <button>Copy link</button>it</h1>{PROSE}</main>"
    assert page(own)[0].title == "Reset it"
    assert page(f"<title>T - Acme</title><h1>Acme</h1><main><h2>Reset</h2>{PROSE}</main>")[0].title == "T - Acme"


@pytest.mark.parametrize(
    "content",
    [
        "<ol>" + "<li>x" * 40_000,
        "<table>" + "<tr><td rowspan=60000 colspan=1000>x" * 10_000,
        "<table><tr>" + "<td rowspan=60000>x" * 10_000 + "<tr><td>y" * 10_000,
        "<table><tr>" + "<td colspan=9>x" * 40_000,
        "<div><a href=a>x</a><a href=b>y</a><a href=c>z</a></div>" * 10_000 + "<p>" + "Word " * 30,
        "<div class='" + "nav" * 300_000 + "'>x</div>",
        "<b><i><q>x" * 20_000,
        "<blockquote>x" * 20_000,
        "<table><tr><td>" * 20_000 + "x",
        "<p>" + "<a href=#>" * 20_000,
        "<pre>" + "`" * 900_000,
        "<!--" * 220_000,
        "<main>" * 20_000 + "<h1>x" * 20_000,
        "<![CDATA[" * 300_000,
    ],
    ids=range(14),
)
def test_a_hostile_page_is_read_in_linear_time(content: str) -> None:
    """A quadratic step would exceed the time limit."""
    reason = ""
    try:
        list(read(FetchedFile(path="a.html", content=content.encode())))
    except Unreadable as error:
        reason = str(error)
    assert "took longer" not in reason


@pytest.mark.parametrize(
    "question",
    ["Copy a board", "Copy my invoices?", "Copy this page?", "Copying fees", "Copied it?", "Copy a link"],
)
def test_a_question_in_a_button_is_text(question: str) -> None:
    assert question in text_of(f"<main><h1>Help</h1><button>{question}</button><p>{SAID}</p></main>")
    assert "Copy link" in text_of(f"<main><h1>Help</h1><button aria-expanded='false'>Copy link</button><p>{SAID}</p>")


@pytest.mark.parametrize("label", ["Copy", "Copied!", "Copy to clipboard", "Copy code", "Copy link to this section"])
def test_a_button_that_copies_is_none(label: str) -> None:
    assert "Cop" not in text_of(f"<main><h1>Help</h1><pre>x</pre><button>{label}</button><p>{SAID}</p></main>")


@pytest.mark.parametrize("tag", ["textarea", "object", "canvas", "video", "audio"])
def test_text_that_stands_for_something_else_stays(tag: str) -> None:
    assert SAID in text_of(f"<main><h1>Help</h1><{tag}>{SAID}</{tag}><p>More is below.</p></main>")


def test_a_word_about_the_browser_is_no_text() -> None:
    content = f"<main><h1>Help</h1><video>Your browser cannot play this video.</video><p>{SAID}</p></main>"
    assert "browser" not in text_of(content)


@pytest.mark.parametrize("tag", ["template", "svg", "select"])
def test_words_that_no_browser_shows_as_text_are_told(tag: str) -> None:
    inner = f"<option>{SAID}" if tag == "select" else f"<text>{SAID}</text>"
    document, warnings = page(f"<main><h1>Help</h1><p>{SAID}</p><{tag}>{inner}</{tag}></main>")
    assert document.text.count(SAID) == 1
    assert [warning.code for warning in warnings] == ["unseen_words_left_out"]


@pytest.mark.parametrize("frame", ["{}", "<main>{}</main>", "<div id='page'>{}</div>"])
def test_a_list_of_links_that_is_only_named_as_a_menu_is_no_silent_loss(frame: str) -> None:
    dishes = "".join(f"<li><a href='/dish/{n}'>Dish {n} with {n} kinds of cheese and herbs</a></li>" for n in range(20))
    content = frame.format(f"<h1>La Piazza</h1><p>{SAID}</p><div class='menu'><ul>{dishes}</ul></div><p>{SAID}</p>")
    document, warnings = page(content)
    assert "Dish 7" in document.text or [warning.code for warning in warnings] == ["surroundings_left_out"]
    short = frame.format(f"<h1>La Piazza</h1><p>{SAID * 9}</p><div class='menu'><ul>{dishes}</ul></div><p>{SAID}</p>")
    document, warnings = page(short)
    assert "Dish 7" in document.text or [warning.code for warning in warnings] == ["surroundings_left_out"]


@pytest.mark.parametrize("tag", ["embed", "source", "track", "wbr"])
def test_an_element_without_content_takes_no_text_with_it(tag: str) -> None:
    text = text_of(f"<main><h1>Help</h1><p>Call save<{tag} src=x>_all.</p><p>{SAID}</p><{tag}><p>Then wait.</p></main>")
    assert text == f"# Help\n\nCall save_all.\n\n{SAID}\n\nThen wait."


@pytest.mark.parametrize(
    "end", ["</body>", "</html>", "</body></html>", "</body><body>", "</BODY></HTML ><html><body>"]
)
def test_text_after_the_end_of_a_page_is_text(end: str) -> None:
    assert SAID in text_of(f"<html><body><h1>Help</h1>{PROSE}{end}<p>{SAID}</p></body></html>")


def test_a_page_of_unclosed_tags_is_read_to_its_end_or_refused() -> None:
    unclosed = "".join(f"<font color=red><b>Rule {n}. " for n in range(400))
    assert "Rule 399." in text_of(unclosed)
    with pytest.raises(Unreadable, match="nested too deep"):
        text_of(unclosed * 4)


@pytest.mark.parametrize("tag", ["<blockquote>", "<ul><li>", "<ol><li>"])
def test_a_page_of_lists_within_each_other_is_not_much_longer_than_its_html(tag: str) -> None:
    page = "".join(f"{tag}Rule {n}. " for n in range(900))
    text = text_of(page)
    assert "Rule 899." in text and len(text) < 20 * len(page)


@pytest.mark.parametrize(
    "lines",
    ["<div class=line><div>npm install</div></div><div class=line>  npm start</div>",
     "<ol class=linenums><li><span>npm install</span></li><li>  npm start</li></ol>",
     "<code><div>npm <b>install</b></div>\n<div>  npm start</div></code>",
     "<code><span class=code-line><span>npm install</span></span><span class=code-line>  npm start</span></code>",
     "<span class=line>npm <i>install</i></span>\n<span class=line>  npm start</span>",
     "<span class=linenos>1</span>npm install\n<span class=linenos>2</span>  npm start"],
)  # fmt: skip
def test_lines_of_code_that_are_elements_stay_lines(lines: str) -> None:
    assert "```\nnpm install\n  npm start\n```" in text_of(f"<main><h1>Help</h1>{PROSE}<pre>{lines}</pre></main>")


@pytest.mark.parametrize(
    "numbers", ["<pre><span class=lnt>1\n</span><span class=lnt>2</span></pre>", "<pre>1\n2</pre>"]
)
def test_numbers_of_lines_beside_a_code_are_none_of_its_text(numbers: str) -> None:
    code = "<td class=code><pre>npm install\nnpm start</pre></td>"
    table = f"<table><tr><td class=linenos>{numbers}</td>{code}</tr></table>"
    assert text_of(f"<main>{PROSE}{table}</main>").endswith("\n\n```\nnpm install\nnpm start\n```")
    tariff = "<table><tr><th>Line<th>Fare<tr><td class=line-number>3<td>2</table>"
    assert "| 3 | 2 |" in text_of(f"<main>{PROSE}{tariff}</main>")


def test_boxes_beside_each_other_are_words_of_their_own() -> None:
    text = text_of(
        f"<main><h1>Help</h1>{PROSE}<div><label for=a>C</label><label for=b>C++</label></div>"
        "<app-step>Open</app-step><app-step>Close</app-step>"
        "<p>On the 5<sup>th</sup> of <x-term>May</x-term>, 10<sup>6</sup>.</p></main>"
    )
    assert "C C++" in text and "Open Close" in text and "On the 5th of May, 10^6." in text


def test_short_answers_beside_the_main_part_are_text() -> None:
    answers = "".join(
        f"<div><h3>How do I {verb}?</h3><p>Open {verb} and wait.</p></div>" for verb in ("pay", "cancel", "go")
    )
    found, warnings = page(f"<main><h1>Help</h1>{PROSE}</main><section><h2>Questions</h2>{answers}</section>{FOOTER}")
    assert found.text.endswith("### How do I go?\n\nOpen go and wait.") and not warnings


def test_links_lead_where_the_page_leads() -> None:
    def link(head: str, href: str) -> str:
        content = f"<head>{head}</head><main><h1>Help</h1>{PROSE}<a href='{href}'>there</a></main>"
        (found,) = read(FetchedFile(path="a.html", url="https://x.test/docs/pay/", content=content.encode()))
        assert isinstance(found, ReadDocument)
        return found.text.split("\n")[-1]

    assert link("", "card") == "[there](https://x.test/docs/pay/card)"
    assert (
        link("<link rel=canonical href='https://x.test/docs/pay'>", "card") == "[there](https://x.test/docs/pay/card)"
    )
    assert link("<base href='/v2/'>", "card") == "[there](https://x.test/v2/card)"
    assert link("", "http://[your-host]/pay") == "there"


@pytest.mark.parametrize("tag", ["list", "item", "heading", "cell", "operands", "script_", "marked", "children"])
def test_a_tag_that_html_does_not_know_is_its_text(tag: str) -> None:
    assert SAID in text_of(f"<p>Map of <{tag}>{SAID}</{tag}></p>")


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("<mroot><mn>8</mn><mn>3</mn></mroot>", "3√8"),
        ("<munderover><mo>∑</mo><mn>1</mn><mn>10</mn></munderover><mi>i</mi>", "∑_1^10 i"),
        ("<mtable><mtr><mtd>1</mtd><mtd>2</mtd></mtr><mtr><mtd>3</mtd><mtd>4</mtd></mtr></mtable>", "(1, 2); (3, 4)"),
        ("<mfrac><mrow>(a)-(b)</mrow><mn>2</mn></mfrac>", "((a)-(b))/2"),
    ],
)
def test_the_figures_of_a_formula_stay_apart(formula: str, text: str) -> None:
    assert text in text_of(f"<p>It is <math>{formula}</math></p>")


def test_a_power_of_what_is_emphasised_is_one() -> None:
    assert "^6" in text_of("<p>Up to <b>10</b><sup>6</sup> rows</p>")


@pytest.mark.parametrize("tag", ["code", "kbd", "samp", "tt"])
def test_what_is_typed_or_shown_is_code(tag: str) -> None:
    assert "Type `fabra_up *` here." in text_of(f"<p>Type <{tag}>fabra_up *</{tag}> here.</p>")


def test_a_menu_is_a_list() -> None:
    assert "- One" in text_of(f"<main>{PROSE}<menu><li>One<li>Two</menu></main>")


def test_the_items_of_a_list_are_numbered_as_a_browser_numbers_them() -> None:
    items = "<li>One<li value=5>Five<li>Six"
    assert "1. One\n5. Five\n6. Six" in text_of(f"<main>{PROSE}<ol>{items}</ol></main>")
    assert "c. One\ne. Five\nf. Six" in text_of(f"<main>{PROSE}<ol type=a start=3>{items}</ol></main>")
    assert "I. One\nV. Five\nVI. Six" in text_of(f"<main>{PROSE}<ol type=I>{items}</ol></main>")
