"""Find the imports and exports of an MDX text: JavaScript statements that stand between its blocks."""

import re

_NAMES = r"(?:[\w$]++|\*\s*+as\s+[\w$]++|\{[^{}'\"<>()=]{0,2000}\})"
_IMPORT = re.compile(
    rf"import\s*+(?:(?:type\s++)?{_NAMES}(?:\s*+,\s*+{_NAMES})?\s*+from\s*+)?(?:\"[^\"\n]+\"|'[^'\n]+')"
    r"(?:[ \t]+(?:with|assert)[ \t]*\{[^{}\n]*\})?[ \t]*;?[ \t]*(?://[^\n]*)?(?:\r?\n|\Z)"
)
_EXPORT = re.compile(
    r"export\s++(?:(?:const|let|var)\s++(?:[\w$]++|\[[^\n=\]]*\]|\{[^\n=}]*\})[^\n=]*="
    r"|(?:default\s++)?(?:async\s++)?function\b\s*+\*?\s*+[\w$]*+\s*+\("
    r"|(?:default\s++)?class\b[^\n]*\{|\{[^{}]{0,2000}\}|\*\s*+(?:as\s++\w++\s*+)?from\b"
    r"|(?:type|interface|enum)\s++[\w$]++[^\n]*[={]|default\s++(?:[(\[{<\"'`]|[\w$.]++(?:[ \t]*(?:[;(\n\r]|=>)|\Z)))"
)
# An unterminated template or comment goes on to the end of the text, so that no character is looked at twice.
_TOKEN = re.compile(
    r"'(?:[^'\\\n]|\\.){0,500}'|\"(?:[^\"\\\n]|\\.){0,500}\"|`(?:[^`\\]|\\.)*+`?|//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?"
    r"|[()\[\]{}]|\n",
    re.DOTALL,
)
_START = re.compile(
    r"(?:\A|^[ \t]*\r?\n|^#{1,6}[ \t][^\n]*\n|^(?:\{/\*[^\n]*\*/\}|<!--[^\n]*-->)[ \t]*\r?\n)((?:import|export)\b)",
    re.MULTILINE,
)
"""After an empty line, a heading or a comment: within a paragraph, `import` is a word."""
_GOES_ON = ("=", "=>", ",", "(", "[", "{", "&&", "||", "?", ":", "+", ".")
_FAILED_CHARS = 500


def is_module(text: str) -> bool:
    """Return whether a block of the text begins with an import or export."""
    return any(_IMPORT.match(text, start) or _EXPORT.match(text, start) for start in _starts(text))


def without_module(text: str) -> str:
    """Return the text without its import and export statements; an export ends where its brackets are closed."""
    parts: list[str] = []
    at, is_failed = 0, False
    for start in _starts(text):
        if start < at:
            continue  # inside of the statement before
        while True:
            found = _IMPORT.match(text, start)
            end = found.end() if found else -1
            if end < 0 and _EXPORT.match(text, start):
                end = _end(text, start, start + _FAILED_CHARS if is_failed else len(text))
                if end < 0:
                    is_failed = True
                    blank = re.compile(r"\n[ \t]*\r?\n").search(text, start)
                    end = blank.start() + 1 if blank else len(text)
            if end < 0:
                break
            parts.append(text[at:start])
            at = start = end
    return "".join([*parts, text[at:]])


def _starts(text: str) -> list[int]:
    """Return where blocks begin with the words of a statement."""
    return [found.start(1) for found in _START.finditer(text)]


def _end(text: str, start: int, limit: int) -> int:
    """Return the end of the statement's last line, else -1."""
    depth, line = 0, start
    for found in _TOKEN.finditer(text, start, limit):
        if found[0] in "([{":
            depth += 1
        elif found[0] in ")]}":
            depth -= 1
        elif found[0] == "\n":
            if depth <= 0 and not text[line : found.start()].rstrip().endswith(_GOES_ON):
                return found.end()
            line = found.end()
    return len(text) if depth <= 0 and limit >= len(text) else -1
