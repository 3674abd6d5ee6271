"""Prepare the text of a Word document for mammoth, which leaves out what it does not know.

Text boxes, formulas, fields and rows that begin at a later column are put into forms that it knows. Text that was
deleted while changes were tracked stays out.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from lxml import etree

from retrieval.readers.docx_math import linear

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_STRICT_W = "http://purl.oclc.org/ooxml/wordprocessingml/main"
_MATH = ("http://schemas.openxmlformats.org/officeDocument/2006/math", "http://purl.oclc.org/ooxml/officeDocument/math")
_DRAWING = ("http://schemas.openxmlformats.org/drawingml/2006/main", "http://purl.oclc.org/ooxml/drawingml/main")
_COMPATIBILITY = "http://schemas.openxmlformats.org/markup-compatibility/2006"
_VML = "urn:schemas-microsoft-com:vml"
_SHAPES = ("shape", "rect", "roundrect", "group")
"""The shapes that mammoth reads."""
_BREAKS = {"ptab": "tab", "cr": "br"}
"""Breaks that mammoth does not know, and those that it reads."""
_WRAPPERS = ("fldSimple", "bdo", "dir", "ruby", "rubyBase")
"""Elements that mammoth skips with the text in them."""
_LEFT_OUT = ("del", "moveFrom", "rt")
_PAGE_FIELD = re.compile(r"\b(?:PAGE|NUMPAGES|SECTIONPAGES)\b")
_PAGE_LINE_MAX_CHARS = 20
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()\s]*\)")


def prepare(root: Any) -> None:
    """Change a part in place so that mammoth reads all of its text."""
    loosen(root)
    for alternative in reversed(list(root.iter(f"{{{_COMPATIBILITY}}}AlternateContent"))):
        _choose(alternative)
    for drawing in list(root.iter(_w("drawing"))):
        _add_text_of(drawing)
    for box in root.iter(f"{{{_VML}}}textbox"):
        shape = box.getparent()
        if shape is not None and etree.QName(shape).localname not in _SHAPES:
            shape.tag = f"{{{_VML}}}shape"
    for name in ("oMathPara", "oMath"):
        for formula in [node for namespace in _MATH for node in root.iter(f"{{{namespace}}}{name}")]:
            _replace(formula, [_run(linear(formula))])
    for name in _WRAPPERS:
        for wrapper in reversed(list(root.iter(_w(name)))):
            field = wrapper.get(_w("instr"))
            kept = [child for child in wrapper if child.tag != _w("rt")]
            _replace(wrapper, kept if field is None else [*kept, _run(field, "instrText")])
    for before in list(root.iter(_w("gridBefore"))):
        _shift(before)
    for unknown, known in _BREAKS.items():
        for element in root.iter(_w(unknown)):
            element.tag = _w(known)
    for element in root.iter(_w("br")):
        element.attrib.pop(_w("type"), None)  # mammoth joins the words before and after the end of a page
    # A soft hyphen divides a word, and a bookmark between rows or cells keeps mammoth from merging cells.
    for element in list(root.iter(_w("softHyphen"), _w("bookmarkStart"))):
        _replace(element, [])
    for choices in root.iter(_w("ddList")):
        _add_chosen(choices)
    for deleted in list(root.iter(_w("del"))):
        _keep_last(deleted)


def loosen(root: Any) -> None:
    """Write what is in the strict format's namespace, names and attributes, in the usual one."""
    strict = f"{{{_STRICT_W}}}"
    for element in root.iter(f"{strict}*"):
        element.tag = _w(etree.QName(element).localname)
        for name, value in list(element.attrib.items()):
            if name.startswith(strict):
                del element.attrib[name]
                element.set(_w(name.removeprefix(strict)), value)


def paragraphs(root: Any) -> Iterator[str]:
    """Yield the text of each paragraph, without what was deleted while changes were tracked."""
    texts: dict[Any, list[str]] = {}
    skipped = {inner for name in _LEFT_OUT for node in root.iter(_w(name)) for inner in node.iter(_w("t"))}
    for element in root.iter(_w("p"), _w("t"), _w("tab"), _w("br"), _w("noBreakHyphen")):
        if element.tag == _w("p"):
            texts[element] = []
            continue
        owner = next(element.iterancestors(_w("p")), None)
        if owner is not None and owner in texts and element not in skipped:
            texts[owner].append(element.text or "" if element.tag == _w("t") else " ")
    yield from ("".join(parts) for parts in texts.values())


def append_paragraphs(root: Any, texts: list[str]) -> None:
    """Add paragraphs to the end of a main part."""
    body = root.find(_w("body"))
    if body is not None:
        for text in texts:
            paragraph = etree.SubElement(body, _w("p"))
            paragraph.append(_run(text))


def lines_of_margin(root: Any) -> list[str]:
    """Return the lines of a prepared header or footer, without those that only number the pages."""
    lines = []
    for paragraph in root.iter(_w("p")):
        fields = [node.text or "" for node in paragraph.iter(_w("instrText"))]
        text = " ".join(next(paragraphs(paragraph)).split())
        is_number = any(map(_PAGE_FIELD.search, fields)) and len(text) <= _PAGE_LINE_MAX_CHARS
        if any(char.isalpha() for char in text) and not is_number:
            lines.append(text)
    return lines


def missing_words(texts: list[str], markdown: str) -> list[str]:
    """Return the words of the paragraphs that the Markdown does not contain, in their order."""
    found = Counter(_words(markdown))
    missing = []
    for word in (word for text in texts for word in _words(text)):
        found[word] -= 1
        if found[word] < 0 and len(word) > 1:
            missing.append(word)
    return missing


def _words(text: str) -> list[str]:
    """Return the words of a text without the marks of Markdown, which may stand within one: **a**b, 5^2, [a](b)c."""
    return re.findall(r"\w+", re.sub(r"[*_`~^\\]", "", _LINK.sub(r"\1", text)))


def _w(name: str) -> str:
    return f"{{{W}}}{name}"


def _run(text: str, name: str = "t") -> Any:
    run = etree.Element(_w("r"))
    element = etree.SubElement(run, _w(name))
    element.text = text
    element.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
    return run


def _replace(element: Any, children: list[Any]) -> None:
    """Put `children` in the place of an element."""
    parent = element.getparent()
    if parent is not None:
        for child in children:
            element.addprevious(child)
        parent.remove(element)


def _choose(alternative: Any) -> None:
    """Replace alternatives by the one that mammoth can read: the fallback, unless only the other has text."""
    fallback = alternative.find(f"{{{_COMPATIBILITY}}}Fallback")
    choice = alternative.find(f"{{{_COMPATIBILITY}}}Choice")
    has_text = [node is not None and any("".join(paragraphs(node)).split()) for node in (fallback, choice)]
    chosen = choice if choice is not None and (fallback is None or has_text == [False, True]) else fallback
    _replace(alternative, list(chosen) if chosen is not None else [])


def _add_text_of(drawing: Any) -> None:
    """Put the text boxes of a drawing after it, where mammoth reads them."""
    boxes = [box for box in drawing.iter(_w("txbxContent")) if _is_outermost(box, drawing)]
    lines = [node for namespace in _DRAWING for node in drawing.iter(f"{{{namespace}}}p")]
    if not boxes and not lines:
        return
    picture = etree.Element(_w("pict"))
    picture.extend(boxes)
    for line in lines:
        text = "".join(node.text or "" for namespace in _DRAWING for node in line.iter(f"{{{namespace}}}t"))
        if text.strip():
            etree.SubElement(etree.SubElement(picture, _w("txbxContent")), _w("p")).append(_run(text))
    drawing.addnext(picture)


def _is_outermost(box: Any, drawing: Any) -> bool:
    return next(box.iterancestors(_w("txbxContent"), drawing.tag)) is drawing


def _shift(before: Any) -> None:
    """Give a row that begins at a later column an empty cell for the columns before it."""
    row = next(before.iterancestors(_w("tr")), None)
    count = before.get(_w("val"), "")
    cells = [] if row is None else row.findall(_w("tc"))
    if cells and count.isdecimal() and 0 < int(count) < 100:
        cell = etree.Element(_w("tc"))
        etree.SubElement(etree.SubElement(cell, _w("tcPr")), _w("gridSpan")).set(_w("val"), count)
        etree.SubElement(cell, _w("p"))
        cells[0].addprevious(cell)


def _add_chosen(choices: Any) -> None:
    """Write the chosen entry of a form's list, which stands only in the properties of its field."""
    run = next(choices.iterancestors(_w("r")), None)
    found = (choices.find(_w(name)) for name in ("result", "default"))
    chosen = next((element for element in found if element is not None), None)
    number = "0" if chosen is None else chosen.get(_w("val"), "0")
    entries = choices.findall(_w("listEntry"))
    if run is not None and number.isdecimal() and int(number) < len(entries):
        run.addnext(_run(entries[int(number)].get(_w("val"), "")))


def _keep_last(deleted: Any) -> None:
    """Keep the end of a paragraph that no other paragraph follows; mammoth joins its text to one, or loses it."""
    properties = deleted.getparent()
    paragraph = next(deleted.iterancestors(_w("p")), None)
    if paragraph is None or properties.tag != _w("rPr") or properties.getparent().tag != _w("pPr"):
        return
    following = paragraph.getnext()
    if following is None or following.tag != _w("p"):
        properties.remove(deleted)
