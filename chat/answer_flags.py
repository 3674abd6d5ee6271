"""Flags of answers that more than one folder reads."""

ANSWER_STOPPED = "answer_stopped"
"""Its user stopped it; what had been received of it is stored."""
NOT_KNOWN = "not_known"
"""The bot said that it does not know."""
SMALL_TALK = "small_talk"
"""A greeting, thanks or a goodbye was answered. Its context has this name too, and it stands for the model's."""
