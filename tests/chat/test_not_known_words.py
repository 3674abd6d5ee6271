"""An answer of a model that says nothing but that it does not know is recognised, and none that says more."""

import pytest

from chat.grounding.not_known import claims_nothing, says_not_known
from chat.providers.not_known import not_known_text
from tests.cpu_limit import cpu_limit

NOT_KNOWN = [
    "I do not know.",
    "I don\u2019t know the answer to that.",
    "I'm sorry, but I do not know. Please write to support.",
    "The provided passages do not contain information about refunds [1][2]. I suggest writing to support.",
    "I couldn't find an answer in the passages [1], [2].",
    "Unfortunately, the documents do not mention a phone number. Please contact our support team for help.",
    "I cannot tell.",
    "I'm not sure about that. Could you give me more details?",
    "I don't have enough information to answer your question.",
    "There is no information about phone numbers in the passages.",
    "The phone number is not mentioned in the provided passages.",
    "**I do not know** whether that is possible.\n\nYou could write to support.",
    "Hello! I am sorry, I do not have any information about that. Let me know if you have other questions.",
    "I am unable to find that. I recommend contacting support.",
    "Based on the provided passages, I don't know.",
    "None of the passages mention a phone number.",
    "I do not know that; please ask support.",
    "Das weiß ich leider nicht.",
    "Leider weiß ich das nicht. Bitte wenden Sie sich an den Support.",
    "Dazu finde ich in den Passagen keine Informationen.",
    "Ich kann Ihnen das leider nicht sagen, aber Sie können sich an den Support wenden.",
    "In den Dokumenten steht nichts dazu.",
    "Die bereitgestellten Passagen enthalten keine Angaben zu einer Telefonnummer. Schreiben Sie an den Support.",
    "Mir liegen dazu keine Informationen vor.",
    "Es tut mir leid, diese Frage kann ich nicht beantworten.",
    "Je ne sais pas. Veuillez contacter le support.",
    "No lo sé.",
    "Non lo so.",
    "Não sei.",
    "Dat weet ik niet.",
]
ANSWERS = [
    "I do not know why your card was refused, but here is how you pay by invoice: open Billing [1].",
    "I do not know your plan. On the free plan you have two documents [1].",
    "I do not know, since the limit is 5 GB [1].",
    "I don't know the exact date, though refunds usually take 5 days [1].",
    "I don't have access to your account, so open Settings and click Export.",
    "The passages say that refunds take 30 days [1]. They do not say who gets them.",
    "If you do not know your password, click Forgot password.",
    "We do not provide information to third parties.",
    "The documents do not contain macros [1].",
    "The documents do not include a signature.",
    "Refunds are not available for digital articles.",
    "I cannot cancel your contract.",
    "I'm sorry, refunds take 90 days.",
    "I do not know it. It costs 5 euros.",
    "There is no answer key in the export.\nClick Export.",
    "No, you cannot export it.",
    "Yes.",
    "What do you mean?",
    "You can ask for a person.",
    "Ich weiß nicht, warum Ihre Karte abgelehnt wurde, aber so bezahlen Sie per Rechnung [1].",
    "Die Dokumente enthalten keine Makros.",
    "In den Dokumenten ist nichts verschlüsselt.",
    "Ich kann den Tarif nicht ändern.",
    "Nein, das geht nicht.",
    "No se puede exportar.",
    "",
    "   ",
    "[1]",
]


@pytest.mark.parametrize("text", NOT_KNOWN)
def test_that_nothing_is_known_is_recognised(text: str) -> None:
    assert says_not_known(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_what_says_anything_else_is_an_answer(text: str) -> None:
    assert not says_not_known(text)


def test_the_bots_own_words_are_recognised() -> None:
    assert says_not_known(not_known_text([], "You can ask for a person."))


def test_further_words_are_recognised_whatever_their_case_and_accents() -> None:
    assert not says_not_known("Nie wiem tego, przepraszam.")
    assert says_not_known("Nie wiem tego, przepraszam.", ["nie wiem"])
    assert says_not_known("很抱歉，我不知道这个问题的答案。", ["我不知道"])
    assert not says_not_known("Tego nie wiemy na pewno.", ["nie wiem"])  # whole words only


@pytest.mark.parametrize(
    "part",
    [
        "but ", "sorry but ", "so but so ", "i do not ", "I do not know ", "the passages ", "there is no ",
        "nicht ich ", "is not mentioned in the ", "please contact ", "[1] ", "passages [1] ", "based on the ", "a. ",
        "in den dokumenten ",
        "the the the passages do not have the the the the ", "leider ", ", so ", "based on the a,", "- ", "ich kann ",
    ],
)  # fmt: skip
def test_a_long_text_of_such_words_costs_little(part: str) -> None:
    for text in ((part * 4000)[:4000], (part * 400)[:1500], (part * 300)[:298] + "."):
        with cpu_limit():
            says_not_known(text)
            claims_nothing(text)
