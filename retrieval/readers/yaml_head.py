"""Parse YAML front matter as its authors mean it.

YAML 1.1 reads `no` as false, `1.10` as 1.1 and `12:30` as 750, and refuses `title: Fees: what you pay`. Here a value
is a number or a boolean only if it is written as JSON writes it, and an entry that is no YAML is its text.
"""

import re
from collections import Counter
from typing import Any

import yaml

from retrieval.readers.audience import names_of
from retrieval.readers.documents import AudienceUnknown, ReadWarning

_ENTRY = re.compile(r"([^\s#:\-?\[\]{}&*!|>'\"%@`,][^\n]*?|\"[^\"\n]+\"|'[^'\n]+')[ \t]*:(?:[ \t]+|$)(.*)")
_KEY = re.compile(r"(?:[^\W\d]|[@$])[\w.:@/$ -]{0,60}")
_PLAIN_KEY = re.compile(r"[a-z_@$][\w.:@/$-]{0,60}")
_NAMES = """
abstract alias aliases api area audience author authors badge banner body_class canonical canonical_url categories
category comments copyright cover created custom_edit_url date datepublished description displayed_sidebar draft
edit_url excerpt expirydate feature featured footer github_branch github_path github_repo hero hide_table_of_contents
hide_title icon id image intro keywords kind labels lang language last_modified_at last_update lastmod layout license
linktitle locale meta modified name nav_order navigation next no_index order outline owner pagination_label parent
permalink position prev product products publishdate published redirect redirect_from redirect_to redirects robots
section sections seo short_title shorttitle showtoc sidebar sidebar_label sidebar_position slug source standfirst
status subtitle summary tag tags team template title toc topic topics type uid unlisted updated updated_at url version
versions video weight
"""
_KNOWN = frozenset(_NAMES.split())
"""Names of front matter in use with site generators; one of them is enough to know front matter by."""
_PROSE_WORDS = 6
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,14}")


class NoHead(Exception):
    """The text is no front matter; the message says why."""


class _Loader(yaml.SafeLoader):
    """Load YAML without aliases, with which a few lines can expand to gigabytes."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases")
        return super().compose_node(parent, index)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if str(float(text)) == text else text


def _date(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    try:
        return loader.construct_yaml_timestamp(node)
    except ValueError:  # the 30th of February
        return node.value


_TIMESTAMP = next(
    pattern for tag, pattern in yaml.SafeLoader.yaml_implicit_resolvers["0"] if tag.endswith(":timestamp")
)
for _tag, _pattern, _first in (
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("number", re.compile(rf"(?:{_INTEGER.pattern}|{_FLOAT.pattern})\Z"), "-0123456789"),
    ("timestamp", _TIMESTAMP, "0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern.pattern})\Z", re.X), _first)
_Loader.add_constructor("tag:yaml.org,2002:number", _number)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _date)


def parse_yaml(head: str) -> tuple[dict[str, Any], list[ReadWarning]]:
    """Return the metadata of a head, and warnings about entries read as text; raise NoHead if it is none.

    Raise Unreadable if the audience is what cannot be read.
    """
    head = head.replace("\r\n", "\n")
    if not head.strip():
        return {}, []
    unclear: list[str] = []
    try:
        found = yaml.load(head, _Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        found, unclear = _entries(head)
    if not isinstance(found, dict):
        raise NoHead("it is no mapping")
    metadata = {str(key): value for key, value in found.items()}
    _check(metadata, head)
    duplicates = _duplicates(head)
    if names_of(unclear):
        raise AudienceUnknown("the audience in its front matter is no YAML")
    if names_of(duplicates):
        raise AudienceUnknown("its front matter names an audience more than once")
    return metadata, [
        *(_warning("value_as_text", f"The front matter's {key[:60]!r} was read as text.") for key in unclear),
        *(_warning("duplicate", f"The front matter names {key[:60]!r} more than once; the last counts.")
          for key in duplicates),
    ]  # fmt: skip


def _warning(code: str, message: str) -> ReadWarning:
    return ReadWarning(code=f"front_matter_{code}", message=message)


def _duplicates(head: str) -> list[str]:
    names = Counter(found[1].strip("\"'") for line in head.split("\n") if (found := _ENTRY.match(line)))
    return [name for name, count in names.items() if count > 1]


def _entries(head: str) -> tuple[dict[str, Any], list[str]]:
    """Parse each entry by itself; return the values, and the names of those that are no YAML and taken as text."""
    entries: list[tuple[str, list[str]]] = []
    for line in head.split("\n"):
        found = _ENTRY.match(line)
        if found:
            entries.append((found[1].strip("\"'"), [found[2]]))
        elif entries and (not line.strip() or line[0] in " \t-#]}"):
            entries[-1][1].append(line)
        elif line.strip() and not line.startswith("#"):
            raise NoHead("it is no YAML")
    values: dict[str, Any] = {}
    unclear = []
    for name, lines in entries:
        try:
            values[name] = yaml.load("value: " + "\n".join(lines), _Loader)["value"]  # noqa: S506
        except (yaml.YAMLError, ValueError, RecursionError):
            values[name] = _unquoted("\n".join(lines).strip())
            # A single line with a colon or a tab is what its author wrote; of more lines the structure is lost.
            if any(line.strip() for line in lines[1:]) or _is_structure(values[name]):
                unclear.append(name)
    return values, unclear


def _is_structure(text: str) -> bool:
    return text.startswith(("[", "{", "*", "&", "!"))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _check(metadata: dict[str, Any], head: str) -> None:
    """Raise NoHead for a mapping that is rather a text: `Note: the kiosk sells no stamps.` between two rules.

    Without a key that site generators know, the keys must be written as names of data and the values be no sentences.
    Below a blank line, as it follows a rule, only known keys count; with blank lines inside, none that has prose.
    """
    is_below_rule = not head.split("\n", 1)[0].strip()
    has_gaps = re.search(r"\n[ \t]*\n", head.strip()) is not None
    known = {key for key in metadata if key.lower() in _KNOWN and (key[:1].islower() or "Title" in metadata)}
    known.update(names_of(metadata))
    for key in metadata.keys() - known:
        if is_below_rule or not (_KEY if known else _PLAIN_KEY).fullmatch(key):
            raise NoHead(f"{key[:60]!r} is no name of metadata")
        if _is_prose(metadata[key]) and (has_gaps or not known):
            raise NoHead(f"{key!r} is followed by a sentence")


def _is_prose(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return len(value.split()) > _PROSE_WORDS or (" " in value and value.rstrip()[-1:] in ".!?…")
