"""The chat page in a real browser, against a real server: answers, safety, stopping, errors and reconnecting."""

import re
from typing import Any

from tests.chat.browser import Server
from tests.chat.page.conftest import HOSTILE, answered, ask, copied
from tests.missing import required

playwright = required("playwright.sync_api")
expect = playwright.expect


def assert_nothing_ran(page: Any) -> None:
    assert page.title() == "Support chat"
    assert page.locator("main script, main img").count() == 0


def test_a_question_gets_its_answer_and_source(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    expect(page.get_by_role("heading", name="How can we help?")).to_be_visible()
    expect(page.locator("#tier")).to_have_text("premium")
    ask(page, "How do I reset my password?")
    expect(page.locator(".text")).to_contain_text("valid for 60 minutes")
    expect(page.locator(".meta")).to_contain_text("No language model is configured")
    expect(page.locator(".meta")).to_contain_text("of 8,000 tokens")
    expect(page.locator(".meta")).to_contain_text("99 of 100 messages left")
    page.get_by_role("button", name="What the model saw").click()
    panel = page.get_by_role("dialog", name="What the model saw")
    expect(panel.locator(".searches")).to_contain_text("How do I reset my password?")
    expect(panel.get_by_role("img", name="of 8,000 tokens used")).to_be_visible()
    expect(panel.locator(".items").first).to_contain_text("Reset your password")
    expect(panel.get_by_role("link", name="The whole trace")).to_have_attribute(
        "href", re.compile(r"^/admin/contexts/trace/[0-9a-f-]{36}/change/$")
    )
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    page.locator(".cite").first.click()
    card = page.locator(".card").first
    expect(card).to_contain_text("Reset your password")
    expect(card.locator("blockquote")).to_be_visible()
    expect(card.locator("a")).to_have_count(0)  # what is no web address is no link

    page.reload()
    expect(page.locator(".text")).to_contain_text("valid for 60 minutes")
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("heading", name="How can we help?")).to_be_visible()
    assert page.locator(".turn").count() == 0


def test_the_panel_of_a_follow_up_tells_which_questions_it_was_ranked_with(
    page: Any, servers: tuple[Server, Server]
) -> None:
    page.goto(servers[0].url)
    page.get_by_label("Chat as").select_option("Nora")
    ask(page, "How do I reset my password?")
    answered(page)
    ask(page, "And how long is it valid?")
    answered(page, 2)
    page.get_by_role("button", name="What the model saw").last.click()
    searches = page.get_by_role("dialog", name="What the model saw").locator(".searches")
    expect(searches).to_contain_text("And how long is it valid?")
    expect(searches).to_contain_text("ranked together with earlier questions: How do I reset my password?")


def test_a_source_links_to_its_page(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    ask(page, "When do refunds reach my card?")
    page.locator(".cite").first.click()
    link = page.locator(".card a").first
    expect(link).to_be_visible()
    expect(link).to_have_attribute("href", "https://docs.example.com/refunds/")
    expect(link).to_have_attribute("rel", re.compile("noopener"))
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_text("docs.example.com/refunds")


def test_a_source_of_this_site_links_to_its_path_and_is_copied_with_its_address(
    page: Any, servers: tuple[Server, Server]
) -> None:
    page.goto(f"{servers[0].url}b/people/")
    page.get_by_label("Chat as").select_option("Visitor, no account")
    ask(page, "May I take the train first class?")
    answered(page)
    link, address = page.locator(".card a").first, f"{servers[0].url}handbook/travel/"
    page.locator(".cite").first.click()
    expect(link).to_be_visible()
    expect(link).to_have_text(address.removeprefix("http://").rstrip("/"))
    assert link.evaluate("node => node.href") == address
    assert copied(page, page.locator(".turn")).endswith(f"\n\n[1]: <{address}>\n")
    page.reload()
    page.locator(".cite").first.click()
    assert link.evaluate("node => node.href") == address


def test_an_answer_is_copied_as_it_was_written_with_its_links(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    ask(page, "When do refunds reach my card?")
    answered(page)
    text = copied(page, page.locator(".turn"))
    assert "5 to 10 business days" in text and "[1]" in text
    assert "No language model" not in text
    assert text.endswith("\n\n[1]: <https://docs.example.com/refunds/>\n")


def test_markup_of_question_and_document_is_text(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    expect(page.locator("#user")).to_contain_text("Mara <b>L</b>")
    ask(page, f"reset my password {HOSTILE}")
    expect(page.locator(".question")).to_contain_text(HOSTILE)
    expect(page.locator(".text")).to_contain_text(HOSTILE)
    page.locator(".cite").first.click()
    expect(page.locator(".card").first.locator("blockquote")).to_contain_text(HOSTILE)
    assert_nothing_ran(page)


def test_markdown_of_a_model_is_rendered_safely(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[1].url)
    ask(page, "How do I reset my password?")
    expect(page.locator(".meta")).to_contain_text("stub")
    text = page.locator(".text")
    expect(text.locator("strong")).to_have_text("link in the mail")
    expect(text.locator("strong em")).to_have_text("mail")
    expect(text.locator("h4")).to_have_text("Filters")
    expect(text.locator("td code")).to_have_text("open|late")
    expect(text.locator("td").nth(1)).to_have_css("text-align", "right")
    expect(text).to_contain_text(HOSTILE)
    expect(text).to_contain_text("[9]")
    expect(text.locator("p").last).to_contain_text("bad")
    expect(text.locator("a")).to_have_count(0)
    page.reload()
    expect(text.locator("strong em")).to_have_text("mail")
    page.get_by_role("button", name="Source 1: Reset your password").click()
    expect(page.locator(".card blockquote").first).to_be_visible()
    assert_nothing_ran(page)


def test_what_no_source_supports_is_underlined_and_what_supports_is_marked(
    page: Any, servers: tuple[Server, Server]
) -> None:
    page.goto(servers[1].url)
    ask(page, "How do I reset my password, and what is the link's time?")
    wrong = page.locator(".text .unsupported.not")
    expect(wrong).to_contain_text("Later it is valid for 15 days")
    expect(wrong).to_have_attribute("title", re.compile("^Not supported by the sources: .*the number 15"))
    expect(page.locator(".grounding")).to_have_text("One underlined sentence is not supported by the sources.")
    page.reload()
    expect(wrong).to_contain_text("15 days")
    page.locator(".cite").first.click()
    expect(page.locator(".card mark.support")).to_have_text("The link in the mail is valid for 60 minutes.")


def test_stop_keeps_what_was_written(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[1].url)
    ask(page, "Tell me slowly")
    expect(page.locator(".text")).to_contain_text("word word")
    expect(page.locator(".text p")).to_have_count(2)  # what is finished, rendered, and the rest as text
    expect(page.locator(".text strong")).to_have_text("first")
    page.get_by_label("Your message").fill("the next question")
    page.get_by_role("button", name="Stop the answer").click()
    expect(page.locator(".note")).to_have_text("Stopped before the end.")
    expect(page.get_by_label("Your message")).to_have_value("the next question")
    page.get_by_label("Your message").press("Enter")
    expect(page.locator(".turn").nth(1).locator(".meta")).to_contain_text("stub")


def test_errors_are_sentences_with_a_way_on(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[1].url)
    ask(page, "break")
    expect(page.locator(".error")).to_contain_text("refused the request")
    expect(page.get_by_role("button", name="Try again")).to_be_enabled()
    page.get_by_role("button", name="Try again").click()  # the same message, which is stored once
    expect(page.locator(".error")).to_contain_text("refused the request")
    expect(page.locator("#list [aria-current]")).to_have_count(1)
    page.reload()
    expect(page.locator(".question")).to_have_count(1)

    page.get_by_label("Chat as").select_option("Jonas")
    ask(page, "How do I reset my password?")
    expect(page.locator(".meta")).to_contain_text("0 of 1 messages left")
    ask(page, "And when it does not work?")
    expect(page.locator(".error")).to_contain_text(
        re.compile(r"limit of one message is reached.* at \d+:\d+.*, in \d+ minutes")
    )
    expect(page.get_by_role("button", name="Try again")).to_be_disabled()

    page.get_by_label("Chat as").select_option("Mara <b>L</b>")
    page.locator("#list").get_by_role("link", name="break").click()
    expect(page.locator(".question")).to_have_text("You asked" + "break")


def test_reconnects_after_a_restart_and_sends_what_waited(page: Any, servers: tuple[Server, Server]) -> None:
    server = servers[0]
    page.goto(server.url)
    ask(page, "When do refunds reach my card?")
    expect(page.locator(".text")).to_contain_text("5 to 10 business days")
    server.stop()
    expect(page.locator("#connection")).to_contain_text("Connection lost")
    ask(page, "How do I reset my password?")
    expect(page.locator(".waiting")).to_contain_text("Your question is kept")
    server.start()
    server.wait()
    expect(page.locator(".turn").nth(1).locator(".text")).to_contain_text("valid for 60 minutes")
    expect(page.locator("#connection")).to_be_hidden()


def test_the_last_answer_can_be_tried_again_below_it(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    page.get_by_label("Chat as").select_option("Ole")
    ask(page, "When do refunds reach my card?")
    answered(page)
    page.get_by_role("button", name="Try again").click()
    answered(page, 2)
    assert page.locator(".question p").all_text_contents() == ["When do refunds reach my card?"] * 2
    expect(page.get_by_role("button", name="Try again")).to_have_count(1)  # of the last
    page.reload()
    answered(page, 2)
    expect(page.get_by_role("button", name="Try again")).to_have_count(1)
