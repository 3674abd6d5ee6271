"""A customer asks for a person in words; a question about people or agents stays a question."""

import json
from pathlib import Path
from typing import Any

import pytest

from chat.handover.wishes import wants_person

WISHES = [
    "I want to talk to a human",
    "i want to speak to a real person!!",
    "Can I talk to a human?",
    "Could I please speak with an agent",
    "can i speak with someone from support",
    "Let me talk to a person please",
    "Please connect me to an agent.",
    "transfer me to a representative",
    "Put me through to your support team",
    "I'd like to chat with a live agent",
    "I need a human",
    "we need human help",
    "human please",
    "agent",
    "Live chat, please.",
    "REPRESENTATIVE",
    "How do I talk to a human?",
    "Why can't I talk to a real person?",
    "Is there someone I can talk to?",
    "Is there a human that I could speak with",
    "This is no help. I want to speak to a manager.",
    "I don't understand any of this, let me talk to a human",
    "get me a human",
    "My invoice is wrong and I would like to speak to somebody about it",
    "Hi, I'd rather talk to a person now",
    "talk to a human",
    "Ich möchte mit einem Menschen sprechen",
    "Kann ich bitte mit einem Mitarbeiter reden?",
    "kann ich mit jemandem vom support sprechen",
    "Verbinden Sie mich bitte mit einem Kundenberater.",
    "Ich will einen echten Menschen!",
    "mensch bitte",
    "Mitarbeiter",
    "Kann ich jemanden sprechen?",
    "Das hilft mir nicht, ich will mit einer echten Person reden.",
    "bitte mit einem mitarbeiter verbinden",
    "I want to speak to a human about my invoice",
    "I was wondering if I could talk to a human",
    "I'd prefer chatting with a real person",
    "Give me a human, please",
    "Ich möchte mit einem Menschen schreiben",
    "Ich will Menschen sprechen",
    "Bonjour, je voudrais parler à un conseiller, s'il vous plaît",
    "¿Puedo hablar con una persona?",
    "Vorrei parlare con un operatore.",
    "Quero falar com um atendente, por favor",
    "Kan ik met iemand praten over mijn factuur?",
    "Czy mogę porozmawiać z konsultantem?",
]
QUESTIONS = [
    "how do I add an agent to my team?",
    "How do agents talk to customers?",
    "How can my customers talk to a human?",
    "I want my users to be able to chat with an agent",
    "How many support agents can I have on the free plan?",
    "What is a representative in the billing settings?",
    "Can two people talk to each other in a document?",
    "How do I chat with people in my workspace?",
    "I don't want to talk to a human, just tell me the price",
    "Can I cancel without talking to an agent?",
    "Do I have to speak to a person to get a refund?",
    "Does a person read my tickets?",
    "I talked to my manager and he wants invoices by mail",
    "Who is the person that invited me?",
    "How do I write to support?",
    "Which user agent does the crawler send?",
    "I need a human readable export",
    "Can you connect me with the right article about agents?",
    "What does the operator role allow?",
    "Is there a person responsible for data protection?",
    "How do I connect the API to an agent?",
    "Can I transfer a project to another person?",
    "Is the human resources template free?",
    "talk to me about pricing",
    "Wie füge ich einen Mitarbeiter hinzu?",
    "Ich möchte nicht mit einem Menschen sprechen.",
    "Kann ich mit einem Mitarbeiter Dateien teilen?",
    "Muss ich mit einem Berater sprechen, um zu kündigen?",
    "Wie viele Personen können an einem Dokument schreiben?",
    "Wie lade ich Menschen in meinen Arbeitsbereich ein?",
    "Am I talking to a human?",
    "I was talking to an agent yesterday, and the invoice is still wrong",
    "Send me the operator manual",
    "Give me the employee handbook",
    "Connect me to the agent API",
    "Hi, can I export the agent list?",
    "Ich möchte Menschen in meinen Arbeitsbereich einladen.",
    "Kann ich mit jemandem zusammen an einem Dokument schreiben?",
    "Puis-je annuler sans parler à un conseiller ?",
    "Un agent peut-il voir mes documents ?",
    "¿Cuántos agentes puedo tener?",
    "Come funziona l'operatore AND?",
    "Hoe voeg ik een medewerker toe?",
]


@pytest.mark.parametrize("message", WISHES)
def test_a_wish_is_understood(message: str) -> None:
    assert wants_person(message)


@pytest.mark.parametrize("message", QUESTIONS)
def test_a_question_is_a_question(message: str) -> None:
    assert not wants_person(message)


def test_no_question_of_the_sample_data_is_taken_for_a_wish() -> None:
    path = Path(__file__).resolve().parents[2] / "chat" / "sample" / "questions.json"
    questions = [row["question"] for row in json.loads(path.read_text())]
    assert [question for question in questions if wants_person(question)] == []


def test_no_question_of_real_conversations_is_taken_for_a_wish(shared_data: Any) -> None:
    lines = (shared_data("multiturn") / "conversations.jsonl").read_text().splitlines()
    questions = {turn["text"] for line in lines for turn in json.loads(line)["turns"] if turn["role"] == "user"}
    assert len(questions) > 200
    assert [question for question in questions if wants_person(question)] == []


def test_a_long_message_costs_little() -> None:
    for text in (
        "i " * 4000,
        "please " * 1100,
        "ich mit einem " * 570,
        "i want to talk to a " * 400,
        "am i talking " * 400,
    ):
        assert not wants_person(text[:8000])
    assert wants_person("Nothing works here. " * 300 + "I want to talk to a human")
