"""Check what an answer says against the passages that it rests on: its words, numbers, names and negations."""

from chat.grounding.check import ground, ground_quotes
from chat.grounding.result import Grounding, JudgedSentence, Verdict

__all__ = ["Grounding", "JudgedSentence", "Verdict", "ground", "ground_quotes"]
