"""Links in passages: what stays of them in an answer, and sentences that are nothing but a pointer to another page."""

import re

_TEXT = r"(?P<text>(?:[^\[\]\\]|\\.)*)"
_ADDRESS = r"(?:<(?P<angled>[^<>\n]*)>|(?P<bare>[^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*))"
_TITLE = r"""(?:\s+(?:"[^"]*"|'[^']*'|\([^()]*\)))?"""
LINK_OR_CODE = re.compile(
    rf"(?P<code>(?P<ticks>`+)[\s\S]*?(?<!`)(?P=ticks)(?!`))|(?<!\\)!?\[{_TEXT}\]\(\s*{_ADDRESS}{_TITLE}\s*\)"
)
"""A link or an image; code, in which nothing is a link, is matched so that it is passed over."""
_ABSOLUTE = re.compile(r"https?://|mailto:|/(?!/)", re.IGNORECASE)
"""Or from the root of the site, as common.markdown has it."""
_WORD = re.compile(r"\w+")
_ENGLISH = (
    "see also read refer go to please the a an our and or for more further full all about on in at how this that it "
    "these them details detail information info instructions example examples learn find out here there below above "
    "next step steps page article guide section chapter documentation docs related"
)
_GERMAN = (
    "siehe auch mehr dazu unter im in der die das den dem zu zum zur und oder für weitere details informationen "
    "hier finden sie lesen näheres einzelheiten seite artikel anleitung abschnitt"
)
_POINTING = frozenset(f"{_ENGLISH} {_GERMAN}".split())
"""Words of English and German that say no more of a link than that it is there."""


def target_of(link: re.Match[str]) -> str:
    """Return the address of a link if an answer can have it, otherwise "": "plans.md" names a file, not a page."""
    address = link["angled"] or link["bare"] or ""
    return address if _ABSOLUTE.match(address) else ""


def only_points(markdown: str) -> bool:
    """Return whether a sentence says nothing but where to read on, such as `See [Plans](plans.md).`"""
    rest = LINK_OR_CODE.sub(lambda link: link[0] if link["code"] else " ", markdown)
    return rest != markdown and all(word in _POINTING for word in _WORD.findall(rest.casefold()))
