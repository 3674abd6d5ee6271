"""Number the lists and headings of a Word document as Word shows them.

Word stores no numbers, and mammoth begins each list again from 1: after a note between steps 3 and 4 `see step 4` would
be wrong. Each numbered paragraph gets a mark in front of its text that mammoth passes on, and that is then made the
value of its item, or the text in front of a heading.
Source: ISO/IEC 29500-1, 17.9 (numbering).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from lxml import etree

from retrieval.readers import docx_body
from retrieval.readers.ordinals import ordinal

W = f"{{{docx_body.W}}}"
_KINDS = {"lowerLetter": "a", "upperLetter": "A", "lowerRoman": "i", "upperRoman": "I"}
_UNNUMBERED = ("bullet", "none")
_LEVELS = 9
_OPENS, _CLOSES = "\uf8f0", "\uf8f1"
"""Signs of Unicode's private area, between which a mark has its index in the list of labels."""
_MARK = re.compile(f"{_OPENS}(\\d{{1,7}}){_CLOSES}")
_LEVEL_NUMBER = re.compile(r"%([1-9])")
_SIMPLE = re.compile(r"\(?\w+[.):]?")


class Label(NamedTuple):
    """The number in front of a paragraph."""

    number: int
    kind: str
    """The `type` of an HTML list that writes it so; empty for digits."""
    text: str
    """As Word shows it, such as `2.3` or `(a)`."""


@dataclass(frozen=True, kw_only=True)
class _Level:
    start: int
    format: str
    text: str
    restart: int
    """It begins again after a level of this number or a higher one; 0: never."""


@dataclass
class _List:
    """A `w:num`: the levels that it has, and the counters, which lists of one definition share."""

    levels: dict[int, _Level]
    counters: dict[int, int]
    overrides: dict[int, int] = field(default_factory=dict)
    """Where its levels begin, until they have."""

    def count(self, at: int) -> Label | None:
        """Return the label of the next paragraph at a level."""
        level = self.levels.get(at)
        if level is None:
            return None
        known = self.counters.get(at)
        self.counters[at] = self.overrides.pop(at, level.start if known is None else known + 1)
        for other, its in self.levels.items():
            if other < at:
                self.counters.setdefault(other, its.start)
            elif other > at and its.restart > at:
                self.counters.pop(other, None)
        if level.format in _UNNUMBERED:
            return None
        text = _LEVEL_NUMBER.sub(lambda found: self._written(int(found[1]) - 1), level.text)
        return Label(self.counters[at], _KINDS.get(level.format, ""), text.strip())

    def _written(self, at: int) -> str:
        level = self.levels.get(at)
        return ordinal(self.counters[at], _KINDS.get(level.format, "")) if level and at in self.counters else ""


def mark_numbers(root: Any, numbering: Any, styles: Any) -> list[Label]:
    """Put a mark in front of each numbered paragraph of a main part; return their labels."""
    lists, of_styles = _lists(numbering, styles), _of_styles(styles)
    labels: list[Label] = []
    for paragraph in root.iter(f"{W}p"):
        properties = paragraph.find(f"{W}pPr")
        if properties is None or properties.find(f"{W}rPr/{W}del") is not None:
            continue
        found = lists.get((level := _list_level(properties, of_styles))[0])
        label = found.count(level[1]) if found else None
        if label and any((text.text or "").strip() for text in paragraph.iter(f"{W}t")):
            properties.addnext(_marked(len(labels)))
            labels.append(label)
    return labels


def put_numbers(root: Any, labels: list[Label]) -> None:
    """Make the marks in mammoth's HTML the values of the items of lists; elsewhere the text in front."""
    for element in list(root.iter()):
        for name in ("text", "tail"):
            text = getattr(element, name)
            if text and _OPENS in text:
                put = partial(_put, element if name == "text" else element.getparent(), labels)
                setattr(element, name, _MARK.sub(put, text))


def _put(owner: Any, labels: list[Label], found: re.Match[str]) -> str:
    if int(found[1]) >= len(labels):
        return found[0]
    label = labels[int(found[1])]
    item = next((element for element in (owner, *owner.iterancestors()) if element.tag in ("li", "td", "th")), None)
    if item is None or item.tag != "li" or item.getparent() is None or item.getparent().tag not in ("ol", "ul"):
        return f"{label.text} " if label.text else ""
    if _SIMPLE.fullmatch(label.text):
        item.set("value", str(label.number))
        item.getparent().set("type", label.kind)
        return ""
    item.getparent().tag = "ul"  # 2.3 or Article 4, which no list of HTML counts
    return f"{label.text} " if label.text else ""


def _marked(index: int) -> Any:
    run = etree.Element(f"{W}r")
    etree.SubElement(run, f"{W}t").text = f"{_OPENS}{index}{_CLOSES}"
    return run


def _list_level(properties: Any, of_styles: dict[str, tuple[str, int]]) -> tuple[str, int]:
    """Return the list of a paragraph and its level in it: its own, or that of its style; "" for none."""
    style = properties.find(f"{W}pStyle")
    name, at = of_styles.get("" if style is None else _value(style), ("", 0))
    own = properties.find(f"{W}numPr")
    if own is None:
        return name, at
    num, level = own.find(f"{W}numId"), own.find(f"{W}ilvl")
    return name if num is None else _value(num), at if level is None else _number(level, at)


def _of_styles(styles: Any) -> dict[str, tuple[str, int]]:
    """Return the list and level that each style of paragraphs has, by itself or by the one that it is based on."""
    found: dict[str, tuple[str, int]] = {}
    known = {style.get(f"{W}styleId", ""): style for style in ([] if styles is None else styles.iter(f"{W}style"))}
    for name in known:
        num, level, seen, at = "", None, set[str](), name
        while at in known and at not in seen:
            seen.add(at)
            own = known[at].find(f"{W}pPr/{W}numPr")
            for number in () if own is None else own:
                if number.tag == f"{W}numId":
                    num = num or _value(number)
                elif number.tag == f"{W}ilvl" and level is None:
                    level = _number(number, 0)
            based = known[at].find(f"{W}basedOn")
            at = "" if based is None else _value(based)
        if num:
            found[name] = num, level or 0
    return found


def _lists(numbering: Any, styles: Any) -> dict[str, _List]:
    definitions = {
        definition.get(f"{W}abstractNumId", ""): definition for definition in numbering.iter(f"{W}abstractNum")
    }
    nums = {num.get(f"{W}numId", ""): num for num in numbering.iter(f"{W}num")}
    linked = {name: num for name, (num, _) in _of_styles(styles).items()}
    counters: dict[str, dict[int, int]] = {}
    lists: dict[str, _List] = {}
    for name, num in nums.items():
        chosen = next(_definitions(num, definitions, nums, linked), None)
        if name == "0" or chosen is None:  # 0 takes the number off a paragraph
            continue
        levels = {number: _level(level, number) for number, level in _levels(definitions[chosen])}
        made = _List(levels, counters.setdefault(chosen, {}))
        for change in num.iter(f"{W}lvlOverride"):
            at = min(_whole(change.get(f"{W}ilvl"), 0), _LEVELS - 1)
            for level in change.findall(f"{W}lvl"):
                levels[at] = _level(level, at)
            start = change.find(f"{W}startOverride")
            if start is not None:
                made.overrides[at] = _number(start, 1)
        lists[name] = made
    return lists


def _definitions(num: Any, definitions: dict[str, Any], nums: dict[str, Any], linked: dict[str, str]) -> Iterator[str]:
    """Yield the definition of a list; one that only names a style is that of the style's list."""
    for _ in range(_LEVELS):
        reference = None if num is None else num.find(f"{W}abstractNumId")
        name = "" if reference is None else _value(reference)
        if name not in definitions:
            return
        link = definitions[name].find(f"{W}numStyleLink")
        if link is None:
            yield name
            return
        num = nums.get(linked.get(_value(link), ""))


def _levels(definition: Any) -> Iterator[tuple[int, Any]]:
    for level in definition.findall(f"{W}lvl")[:_LEVELS]:
        yield min(_whole(level.get(f"{W}ilvl"), 0), _LEVELS - 1), level


def _level(level: Any, at: int) -> _Level:
    def value(name: str) -> str | None:
        found = level.find(f"{W}{name}")
        return None if found is None else _value(found)

    return _Level(
        start=_whole(value("start"), 0),
        format=value("numFmt") or "decimal",
        text=value("lvlText") or "",
        restart=_whole(value("lvlRestart"), at),
    )


def _value(element: Any) -> str:
    return str(element.get(f"{W}val", ""))


def _number(element: Any, default: int) -> int:
    return _whole(_value(element), default)


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else default
