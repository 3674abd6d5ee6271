"""Keep the translations of what customers see: `python chat/locale/messages.py [--check]`.

It collects the texts of `chat/` and of its templates into each `django.po`, and compiles that into the `django.mo` that
Django reads. Both are part of the repository, and no gettext tools are needed. `--check` changes nothing, and fails
with a list of what is missing: texts without a translation, translations of no text, and a `.mo` of another `.po`.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import polib
from django.utils.translation import template

CHAT = Path(__file__).resolve().parent.parent
TEMPLATES = CHAT / "templates" / "chat"
FUNCTIONS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}

_STRING = r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
_CALL = re.compile(rf"n?gettext\((?:[^()'\"]|{_STRING})*\)|\b_\({_STRING}\)")

Text = tuple[str, str]
"""A text, and its plural or ""."""


def texts_of_python(source: str) -> Iterator[Text]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            found = [
                argument.value
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            ]
            if found:
                yield found[0], found[1] if node.func.id.startswith("ngettext") else ""


def texts_of_template(source: str) -> Iterator[Text]:
    """Yield the texts of a template, which Django turns into calls for that; around them is no valid Python."""
    for call in _CALL.finditer(template.templatize(source)):
        yield from texts_of_python(call[0])


def wanted_texts() -> dict[Text, list[str]]:
    """Return every text with the files that have it, by their paths."""
    found: dict[Text, list[str]] = {}
    sources = [*sorted(CHAT.rglob("*.py")), *sorted(TEMPLATES.glob("*.html"))]
    for path in sources:
        read = texts_of_template if path.suffix == ".html" else texts_of_python
        for text in read(path.read_text()):
            files = found.setdefault(text, [])
            name = str(path.relative_to(CHAT.parent))
            files += [] if name in files else [name]
    return found


def update(po: polib.POFile) -> None:
    """Add the texts that are new, with an empty translation, and remove those that are gone."""
    wanted = wanted_texts()
    known = {(entry.msgid, entry.msgid_plural): entry for entry in po}
    for entry in [entry for text, entry in known.items() if text not in wanted]:
        po.remove(entry)
    for text, files in wanted.items():
        entry = known.get(text)
        if entry is None:
            plural = {"msgid_plural": text[1], "msgstr_plural": {0: "", 1: ""}} if text[1] else {}
            entry = polib.POEntry(msgid=text[0], msgstr="", **plural)
            po.append(entry)
        entry.occurrences = [(name, "") for name in files]
    po.sort(key=lambda entry: (entry.occurrences[0][0], entry.msgid))


def problems_of(path: Path) -> list[str]:
    """Return what is wrong with a catalogue, a line for each finding."""
    po, wanted = polib.pofile(str(path)), wanted_texts()
    known = {(entry.msgid, entry.msgid_plural): entry for entry in po}
    missing = [text for text in wanted if text not in known or not known[text].translated()]
    found = [f"not translated: {text[0]!r} ({', '.join(wanted[text])})" for text in missing]
    found += [f"no text of the code any more: {text[0]!r}" for text in known if text not in wanted]
    for entry in po:
        for translation in [entry.msgstr, *entry.msgstr_plural.values()]:
            if translation and _places(translation) != _places(entry.msgid) != _places(entry.msgid_plural):
                found.append(f"other places for values than in the text: {translation!r}")
    compiled = path.with_suffix(".mo")
    if not compiled.exists() or compiled.read_bytes() != po.to_binary():
        found.append(f"{compiled.name} is not made of {path.name}: run python chat/locale/messages.py")
    return found


def _places(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)[sd]|\{\w+\}", text))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, and fail where something is missing")
    is_check = parser.parse_args().check
    found = []
    for path in sorted((CHAT / "locale").glob("*/LC_MESSAGES/django.po")):
        if not is_check:
            po = polib.pofile(str(path), wrapwidth=120)
            update(po)
            po.save()
            path.with_suffix(".mo").write_bytes(po.to_binary())
        found += [f"{path.parent.parent.name}: {problem}" for problem in problems_of(path)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
