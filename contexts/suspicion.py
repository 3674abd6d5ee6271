"""Signs that a passage speaks to the model instead of the reader; they are reported, and nothing is left out for them.

Each pattern is bounded, so that a hostile text takes linear time. None of them is proof: an article about language
models has them too.
"""

import re
import unicodedata
from functools import lru_cache

_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200d\u2060-\u2064\ufeff]")
_HIDDEN = re.compile(r"[\U000e0000-\U000e007f\u202a-\u202e\u2066-\u2069]|[\u200b-\u200d\u2060-\u2064]{4}")

ROLE_TAG = re.compile(
    r"<(?=[|\uff5c][^<>\n]{1,40}[|\uff5c]>|[|\uff5c]\w{1,40}>|\w{1,40}[|\uff5c]>|/?(?:start|end)_of_turn>|<?/?SYS>"
    r"|/?(?:s|bos|eos|sop|system|assistant|tool|tool_call|tool_response)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|BOS|EOS|gMASK)\])",
    re.IGNORECASE,
)
"""The first character of a tag by which chat templates separate the roles of a conversation."""

_SIGNS = {
    "asks to drop the instructions": re.compile(
        r"\b(?:ignore|disregard|forget|override|bypass|do not follow|don't follow|instead of following)\b[^.\n]{0,60}"
        r"\b(?:instructions?|prompts?|rules|guidelines|directions|directives|the above|context)\b"
        r"|\b(?:ignoriere?|vergiss|ignorez?|oubliez?|ignora|ignore|olvida)\b[^.\n]{0,60}"
        r"\b(?:anweisung\w*|regeln|instructions|consignes|instrucciones|istruzioni|instruções|reglas)\b",
        re.IGNORECASE,
    ),
    "gives the model a role": re.compile(
        r"\byou are (?:now|no longer)\b|\bfrom now on,? you\b|\b(?:act|behave|respond) as (?:if|an?|though|the)\b"
        r"|\bpretend (?:to be|that you)\b|\bnew (?:system )?(?:instructions?|prompt|rules)\s{0,3}:|\bsystem prompt\b"
        r"|\b(?:developer|god|jailbreak|DAN) mode\b",
        re.IGNORECASE,
    ),
    "speaks to the model": re.compile(
        r"\b(?:note|message|instructions?|attention)\s{1,3}(?:to|for) (?:the |any )?"
        r"(?:ai|llm|assistant|chat ?bot|language model|model)\b"
        r"|\b(?:dear|hey|hello),? (?:ai|llm|assistant|chat ?bot|chatgpt|claude|language model)\b"
        r"|\bas an ai\b"
        r"|\b(?:do not|don't|never) (?:tell|mention|reveal|inform|show)[^.\n]{0,40}\b(?:user|this|customer)\b"
        r"|\b(?:reveal|print|repeat|output|show)[^.\n]{0,30}\b(?:system|your) (?:prompt|instructions)\b",
        re.IGNORECASE,
    ),
    "has a tag of a role": ROLE_TAG,
    "opens a role": re.compile(
        r"^[\s>#*_-]{0,10}(?:system|assistant|developer|human|user)[*_\s]{0,4}:"
        r"|^#{1,6}\s{0,4}(?:system|instructions?|response|assistant)\s{0,4}:?\s*$",
        re.IGNORECASE | re.MULTILINE,
    ),
    "looks like a frame": re.compile(
        r"</?(?:passage|document|context|source|reference|data|user_?input|quote)s?\b[^<>\n]{0,60}>"
        r"|^[-=<>\[#*\s]{2,20}(?:end|begin|start)(?: of)?(?: the)? (?:passages?|documents?|context|reference|data)\b",
        re.IGNORECASE | re.MULTILINE,
    ),
    "sends data to an address": re.compile(
        r"!\[[^\]\n]{0,200}\]\(\s{0,3}https?://[^\s)]{0,500}[?&][^\s)=]{1,60}="
        r"|\b(?:send|post|append|include|encode|exfiltrate|forward|upload|submit)\b[^\n]{0,120}"
        r"\b(?:conversation|chat history|message|password|secret|api[ _-]?key|token|credit card|e-?mail|question|data)"
        r"s?\b"
        r"[^\n]{0,120}(?:https?://|\bwww\.|@[\w-]{1,60}\.)",
        re.IGNORECASE,
    ),
}


@lru_cache(maxsize=1024)  # the same passages are read again and again
def suspicions_of(text: str) -> tuple[str, ...]:
    """Return what is suspicious in a passage, as clauses such as `asks to drop the instructions`; mostly none."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    found = [name for name, sign in _SIGNS.items() if sign.search(plain)]
    return (*found, "hides text") if _HIDDEN.search(text) else tuple(found)


def without_role_tags(text: str) -> str:
    """Return the text with the tags of chat templates broken up, which some servers read also inside a message."""
    return ROLE_TAG.sub(lambda found: f"{found[0]} ", text)
