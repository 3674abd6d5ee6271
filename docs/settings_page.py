"""Write docs/settings.md from the two files of settings: `python docs/settings_page.py [--check]`.

Each `env.*` call of the settings becomes an entry, with its type, its default and the comment above it or behind it.
`MORE` describes what has no comment there, or one that is for the reader of the code.
"""

import argparse
import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SETTINGS = [PROJECT / "fabra_project" / "settings.py", PROJECT / "fabra" / "settings.py"]
PAGE = PROJECT / "docs" / "settings.md"

HEAD = """\
# Settings

Every difference between installations is an environment variable. This page is made from `fabra_project/settings.py`,
the settings of this project, and `fabra/settings.py`, those of the bot in any project; change them, then run
`.venv/bin/python docs/settings_page.py`.

Lists are separated by commas; `on` and `off` are written as `1` and `0`, or `true` and `false`.
"""

_IN_WORDS = {
    "''": "empty",
    "[]": "empty",
    "{}": "empty",
    "None": "unset",
    "True": "on",
    "False": "off",
    "not DEBUG": "on where `DEBUG` is off",
    "DEBUG": "on where `DEBUG` is on",
    "1 if FABRA_WEB else 2": "1 or 2",
}
"""What defaults are called on the page."""

KINDS = {
    "env_secret": "text, or a file: see *Production*",
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "switch",
    "json": "JSON",
    "list": "list",
}

# Read by `make up`, the consumer and the readers, which do not ask the settings.
OUTSIDE = {
    "FABRA_HOST": ("text", "127.0.0.1", "The address that `make up` listens on."),
    "FABRA_PORT": ("whole number", "8000", "The port that `make up` listens on."),
    "FABRA_REDIS_MEMORY_MB": (
        "whole number", "an eighth of the machine's memory, from 256 to 4096",
        "The `maxmemory` of the Valkey that `make up` starts.",
    ),
    "FABRA_WEB_PROCESSES": (
        "whole number", "one for each core, at most 4", "Web processes of `make up`, about 400 MB each."
    ),
    "FABRA_CONSUMER_NAME": (
        "text", "the host name", "The name of `consume_events` where it has no `--name`; each consumer needs its own."
    ),
}  # fmt: skip

MORE = {
    "FABRA_DATA_DIR": "The folder of the embedded servers' data, models, token encodings, generated secrets and logs. "
    "Empty: `.data/` in the project.",
    "DATABASE_URL": "A PostgreSQL with pgvector. Empty: the one that `make up` starts.",
    "REDIS_URL": "A Redis from version 6.2. Empty: the one that `make up` starts.",
    "FABRA_WEB": "Set it for web processes only: database connections then come from a pool, and "
    "statements have a time limit.",
    "FABRA_DATABASE_POOL": "The most database connections of a web process.",
    "FABRA_STATEMENT_TIMEOUT": "Seconds after which PostgreSQL ends a statement of a web process.",
    "DEBUG": "Development mode: requests from a loopback address need no key. `make up` turns it on where it listens "
    "on a loopback address.",
    "SECRET_KEY": "Django's secret key. Empty: generated once, in `FABRA_DATA_DIR`.",
    "SECRET_KEY_FALLBACKS": "Former values of `SECRET_KEY`; the webhook secrets that derive from them remain valid.",
    "ALLOWED_HOSTS": "Host names that the site answers to.",
    "CSRF_TRUSTED_ORIGINS": "Origins that forms may be sent from, such as `https://support.example.com`.",
    "FABRA_HTTPS_ONLY": "Redirect to HTTPS, send HSTS, and mark cookies as secure.",
    "FABRA_BEHIND_PROXY": "Trust the proxy's `X-Forwarded-Proto`.",
    "FABRA_MAX_REQUEST_BYTES": "The largest body of a request, uploads in the admin apart.",
    "FABRA_HEADER_TIMEOUT": "Seconds that the head of a request may take.",
    "FABRA_BODY_TIMEOUT": "Seconds that the body of a request may take, and one more for each 10 kB.",
    "FABRA_HEADER_MAX_BYTES": "The largest head of a request.",
    "FABRA_TRUSTED_PROXIES": "Addresses and networks of the proxies in front. `X-Forwarded-For` is read from its right "
    "end, as far as these wrote it; empty: not at all.",
    "FABRA_SIGN_IN_FAILURES": "Failed sign-ins after which a user name is locked out at an address; ten times as many "
    "lock an address out, or a name.",
    "FABRA_SIGN_IN_COOLOFF_MIN": "Minutes that a lockout lasts after the last failure that counted.",
    "FABRA_LOG_LEVEL": "The level of the root logger.",
    "FABRA_WORKER_MAX_TASKS": "A Celery process is replaced after this many tasks.",
    "FABRA_WORKER_MAX_MEMORY_MB": "A Celery process is replaced once it takes more memory.",
    "FABRA_DEFINITIONS": "Modules with definitions. Unset: the `definitions.py` of every installed app.",
    "FABRA_API_DOCS": "Open `/api/schema/` and `/api/docs/` to everyone; off: to secret "
    "keys, and to accounts that may use the API. Unset: as `DEBUG`.",
    "FABRA_STANDALONE": "Set by `fabra` in plain scripts: of definitions only those of `FABRA_APPS` are loaded, "
    "and none is copied into the database.",
    "FABRA_REDIS_TIMEOUT": "Seconds to wait for Redis before PostgreSQL is asked instead.",
    "FABRA_EVENT_MAX_ATTEMPTS": "Attempts to process an event before it is dead.",
    "FABRA_EVENT_MAX_BYTES": "The largest event. It carries its document as JSON, so this is more than twice "
    "`FABRA_DOCUMENT_MAX_BYTES`.",
    "FABRA_EVENT_BATCH": "The most events of one request.",
    "FABRA_WEBHOOK_WINDOW": "Seconds that a webhook's timestamp may differ from the server's clock.",
    "FABRA_DEFAULT_INDEX": "The index of documents and searches that name none.",
    "FABRA_EMBEDDING_MODEL": "The embedding model of new indexes and generations.",
    "FABRA_EMBEDDER": "The class that runs the embedding model: `retrieval.embedders.local.LocalEmbedder` in the "
    "process, `retrieval.embedders.openai.OpenAIEmbedder` at `OPENAI_BASE_URL`.",
    "FABRA_EMBEDDING_THREADS": "Threads of the embedding model: 1 in a web process, else 2.",
    "FABRA_RERANK_PATH": "The folder of a reranker as ONNX. Empty: a model of fastembed.",
    "FABRA_RERANKER": "The class that runs the reranker.",
    "FABRA_RERANK_TIMEOUT": "Seconds after which a search goes on without its reranker.",
    "FABRA_DOCUMENT_MAX_BYTES": "The largest text of a document.",
    "FABRA_FILE_MAX_BYTES": "The largest file that is read; larger ones are refused.",
    "FABRA_UPLOAD_MAX_BYTES": "The largest upload in the admin.",
    "FABRA_ARCHIVE_MAX_BYTES": "The largest sum of the unpacked files of an archive.",
    "FABRA_ARCHIVE_MAX_FILES": "The most files of an archive.",
    "FABRA_INGESTION_BATCH_CHARS": "Characters that an import embeds at a time, some 250 chunks.",
    "FABRA_ENCODING": "The tiktoken encoding that counts the tokens of a model that tiktoken does not know.",
    "OPENAI_API_KEY": "The key of the language model's server. Empty: answers quote passages.",
    "OPENAI_BASE_URL": "Any server with OpenAI's API. Empty: `https://api.openai.com/v1`.",
    "FABRA_CHAT_MODEL": "The language model.",
    "FABRA_CHAT_CONTEXT": "The context that `POST /chat` calls.",
    "FABRA_CHAT_PUBLIC": "Open the chat page to visitors who are not signed in.",
    "FABRA_CHAT_DEADLINE": "Seconds that an answer may take.",
    "FABRA_MODEL_TIMEOUT": "Seconds that one call of the language model may take.",
    "FABRA_MODEL_RETRIES": "Retries of a failed call of the language model.",
    "FABRA_MODEL_MAX_TOKENS": "The most tokens of an answer.",
    "FABRA_MESSAGE_MAX_CHARS": "The longest message.",
    "FABRA_LIMIT_PREMIUM": "Messages an hour on the tier `premium`, until *Limits* is saved in the admin.",
    "FABRA_LIMIT_DEFAULT": "Messages an hour on every other tier.",
    "FABRA_LIMIT_ADDRESS": "Messages an hour from one address without an API key. 0: no limit.",
    "FABRA_LIMIT_FEEDBACK": "Changes of feedback an hour by one user.",
}


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable that the settings read."""

    name: str
    section: str
    kind: str
    default: str
    comment: str

    def lines(self) -> list[str]:
        text = MORE.get(self.name, self.comment)
        default = f"default {self.default}" if self.default else "no default"
        return _entry(f"- **`{self.name}`** ({self.kind}, {default}). {text}")


def read_variables(source: str) -> Iterator[Variable]:
    """Yield the variables in the order of the file; raise ValueError for a name that is no literal."""
    lines = source.splitlines()
    seen = set()
    for statement in _statements(ast.parse(source)):
        for call in _calls(statement):
            name = ast.literal_eval(call.args[0])
            if name in seen:
                continue
            seen.add(name)
            yield Variable(
                name=name,
                section=_section(lines, call.lineno),
                kind=KINDS[_kind(call)],
                default=_default(call),
                comment=_comment(lines, statement.lineno, call.lineno),
            )


def all_variables() -> list[Variable]:
    """Return the variables of both files, each once: what the project reads differently stands in its own file."""
    found: dict[str, Variable] = {}
    for path in SETTINGS:
        for variable in read_variables(path.read_text()):
            found.setdefault(variable.name, variable)
    return list(found.values())


def page() -> str:
    """Return the whole page; raise ValueError for a variable that neither a comment nor MORE describes."""
    sections: dict[str, list[str]] = {}
    for variable in all_variables():
        if not MORE.get(variable.name, variable.comment):
            raise ValueError(f"{variable.name} has no comment in the settings, and no entry in MORE")
        sections.setdefault(variable.section, []).extend(variable.lines())
    parts = [HEAD]
    for section, lines in sections.items():
        parts.append(f"\n## {section[:1].upper()}{section[1:]}\n\n")
        parts += [f"{line}\n" for line in lines]
    parts.append("\n## Outside the settings file\n\n")
    for name, (kind, default, text) in OUTSIDE.items():
        default = f"`{default}`" if " " not in default else default
        parts += [f"{line}\n" for line in _entry(f"- **`{name}`** ({kind}, default {default}). {text}")]
    return "".join(parts)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the simple statements, and the conditions of compound ones, in the order of the file."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If):
            yield ast.copy_location(ast.Expr(child.test), child)
            yield from _statements(child)
        elif isinstance(child, ast.stmt):
            yield child


def _calls(statement: ast.stmt) -> list[ast.Call]:
    calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call) and _kind(node) in KINDS]
    return sorted(calls, key=lambda call: call.lineno)


def _kind(call: ast.Call) -> str:
    """Return which reader of the environment is called: the method of `env`, or `env_secret`."""
    if isinstance(call.func, ast.Name) and call.func.id == "env_secret":
        return call.func.id
    is_env = isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)
    return call.func.attr if is_env and call.func.value.id == "env" else ""  # type: ignore[attr-defined]


def _default(call: ast.Call) -> str:
    given = call.args[1] if len(call.args) > 1 else next((k.value for k in call.keywords if k.arg == "default"), None)
    if given is None:
        return ""
    text = ast.unparse(given)
    if text in _IN_WORDS:
        return _IN_WORDS[text]
    if isinstance(given, ast.List):
        text = ",".join(ast.literal_eval(given))
    elif isinstance(given, ast.Constant):
        text = str(given.value)
    return f"`{text}`"


def _section(lines: list[str], number: int) -> str:
    """Return the heading above a line, from its `# ------- heading` comment."""
    for line in reversed(lines[:number]):
        if found := re.match(r"# -{10,} (.+)", line):
            return found[1]
    return "General"


def _comment(lines: list[str], first: int, number: int) -> str:
    """Return the comment behind a line, else the one above the statement that begins at `first`."""
    if found := re.search(r"\s{2}# (?!type:|noqa)(.+)$", lines[number - 1]):
        return _sentence(found[1])
    above: list[str] = []
    for line in reversed(lines[: first - 1]):
        if not line.strip().startswith("# ") or "-----" in line:
            break
        above.insert(0, line.strip().removeprefix("# "))
    return _sentence(" ".join(above))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _entry(text: str) -> list[str]:
    return textwrap.wrap(text, 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/settings.md from the files of settings.")
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    is_check = parser.parse_args().check
    text = page()
    if is_check:
        return int(PAGE.read_text() != text)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
