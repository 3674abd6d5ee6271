"""One way down, and no circle: every import of every module is followed, also those inside functions."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "common": set(),
    "events": {"common"},
    "features": {"common", "events"},
    "retrieval": {"common", "events"},
    "contexts": {"common", "events", "features", "retrieval"},
    "fabra": {"common", "events", "features", "retrieval", "contexts"},
    "fabra_site": set(),
    "chat": {"common", "events", "features", "retrieval", "contexts", "fabra"},
}
"""Each app, and the apps that it may import beside itself."""
SITE = "fabra_project"
"""The project, which may import from every app; of its own modules none import each other in a circle."""
BESIDE_THE_LAYERS = {"bot_template", "demo", "management", "migrations", "sample"}
"""Folders of `chat` that no other one imports."""
STEPS = tuple(
    f"chat.{folder}."
    for folder in (
        "bots", "conversations", "cost_budgets", "engine", "grounding", "idempotency", "limits", "live", "phrases",
        "providers", "small_talk", "spending", "turns",
    )
)  # fmt: skip
"""The folders in which an answer's steps lie."""
NAMED_BY_OTHERS = {"Command", "DatabaseWrapper", "Document"}
"""Names of classes that Django looks for, and that the sample's code has always had."""
ENGINE = ["common", "events", "features", "retrieval", "contexts"]


@cache
def modules() -> dict[str, Path]:
    """Return every module of the apps by its dotted name; a package by its own."""
    found = {}
    for app in (*MAY_IMPORT, SITE):
        for path in (PROJECT / app).rglob("*.py"):
            parts = path.relative_to(PROJECT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path) -> Iterator[str]:
    """Yield what a module imports, by dotted name: a module, or a name within one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def graph() -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    edges: dict[str, set[str]] = {}
    for name, path in modules().items():
        targets = set()
        for imported in imports_of(path):
            module = imported if imported in modules() else imported.rpartition(".")[0]
            if module in modules() and module != name:
                targets.add(module)
        edges[name] = targets
    return edges


def folders() -> dict[str, set[str]]:
    """Return what each folder of an app imports: folders, and modules that lie beside them."""
    edges: dict[str, set[str]] = {}
    for name, targets in graph().items():
        folder = ".".join(name.split(".")[:2])
        edges.setdefault(folder, set()).update({".".join(target.split(".")[:2]) for target in targets} - {folder})
    return edges


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one node (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in edges[name]:
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            component: list[str] = []
            while not component or component[-1] != name:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for name in edges:
        if name not in index:
            visit(name)
    return found


@pytest.mark.parametrize("app", MAY_IMPORT)
def test_an_app_imports_only_what_lies_below_it(app: str) -> None:
    allowed = MAY_IMPORT[app] | {app}
    for name, path in modules().items():
        if name.partition(".")[0] != app or "migrations" in path.parts:
            continue
        for imported in imports_of(path):
            top = imported.partition(".")[0]
            assert top in allowed or top not in {*MAY_IMPORT, SITE}, f"{name} imports {imported}"


@pytest.mark.parametrize("app", ENGINE)
def test_an_engine_app_names_only_what_lies_below_it(app: str) -> None:
    """Names of URLs, permissions, tasks and modules lead to an app as an import does."""
    # `fabra` is also what names of the database's functions and of ASGI's messages begin with.
    others = "|".join(sorted({*MAY_IMPORT, SITE} - MAY_IMPORT[app] - {app, "fabra"}))
    named = re.compile(rf"(?:admin:(?:{others})_|(?:{others})[.:])[a-z][\w.:]*")
    assert [f"{path}: {text}" for path, text in texts_of(app) if named.fullmatch(text)] == []


def texts_of(app: str) -> Iterator[tuple[str, str]]:
    """Yield each literal text of an app's modules, and each word in quotes of its templates."""
    for path in (PROJECT / app).rglob("*.py"):
        if "migrations" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield path.relative_to(PROJECT).as_posix(), node.value
    for path in (PROJECT / app).rglob("templates/**/*.html"):
        for tag in re.findall(r"{%.*?%}", path.read_text()):
            for text in re.findall(r"'([^']+)'|perms\.([\w.]+)", tag):
                yield path.relative_to(PROJECT).as_posix(), "".join(text)


def test_advisory_locks_have_one_place() -> None:
    found = {
        name for name, path in modules().items()
        if re.search(r"pg_locks|pg_(?:try_)?advisory", path.read_text()) and "migrations" not in path.parts
    }  # fmt: skip
    assert found == {"common.locks"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(graph()) == []


def test_no_folders_import_each_other_in_a_circle() -> None:
    assert circles(folders()) == []


def test_folders_of_chat_import_as_their_page_says() -> None:
    section = (PROJECT / "docs" / "architecture.md").read_text().split("## The folders of `chat`")[1].split("\n## ")[0]
    items = re.findall(r"^\d+\. (.+?)(?=^\d+\. |^$)", section, re.MULTILINE | re.DOTALL)
    layers = [{f"chat.{name}" for name in re.findall(r"`(\w+)/`", item)} for item in items]
    of_chat = {path.parent.name for path in (PROJECT / "chat").glob("*/__init__.py")}
    assert set().union(*layers) == {f"chat.{name}" for name in of_chat - BESIDE_THE_LAYERS}
    for number, layer in enumerate(layers):
        above = set().union(*layers[:number])
        for folder in layer:
            assert folders()[folder] & above == set(), f"{folder} imports from above"


@pytest.mark.parametrize("app", ENGINE)
def test_engine_apps_hold_no_product_rule(app: str) -> None:
    for path in (PROJECT / app).rglob("*.py"):
        text = path.read_text()
        for word in ("premium", "knowledge_base"):
            assert word not in text, f"{path.relative_to(PROJECT)} says {word}"


@pytest.mark.parametrize("word", ["features.", "retrieval.", "document", "searchable", "embedded"])
def test_events_know_neither_features_nor_documents(word: str) -> None:
    for path in (PROJECT / "events").rglob("*.py"):
        if "migrations" in path.parts:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert word not in line.lower(), f"{path.relative_to(PROJECT)}:{number} says {word}"


@pytest.mark.parametrize("consumer", ["chat.page.consumer", "chat.embed.consumer", "chat.inbox.consumer"])
def test_a_socket_needs_nothing_of_rest(consumer: str) -> None:
    reached, left = set[str](), [consumer]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += graph()[name]
    assert [name for name in reached if name.startswith("chat.api")] == []
    assert [
        name
        for name in reached
        if any(imported.startswith("rest_framework") for imported in imports_of(modules()[name]))
    ] == []


def test_each_package_says_what_it_is_for() -> None:
    silent = [
        name
        for name, path in modules().items()
        if path.name == "__init__.py"
        and not {"migrations", "management", "templatetags"} & set(path.parts)
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_the_way_of_a_question_is_what_its_page_says() -> None:
    page = (PROJECT / "docs" / "architecture.md").read_text()
    section = page.split("## The path of a question")[1].split("\n## ")[0]
    named = re.findall(r"`((?:chat|contexts|features|retrieval|events)/[\w/.]+)`", section)
    assert [path for path in named if not (PROJECT / path).exists()] == []
    called = {
        target
        for name in ("chat.api.chat", "chat.engine.beginning", "chat.engine.answering", "chat.engine.assembly")
        for target in graph()[name]
        if target.startswith(STEPS)
    }
    paths = [modules()[target].relative_to(PROJECT).as_posix() for target in called]
    assert sorted(path for path in paths if not any(path.startswith(prefix) for prefix in named)) == []


def test_paths_in_the_pages_of_the_architecture_exist() -> None:
    text = (PROJECT / "docs" / "architecture.md").read_text()
    paths = re.findall(r"`((?:common|events|features|retrieval|contexts|chat|fabra_project)/[\w/.]+)`", text)
    assert len(paths) > 40
    assert [path for path in paths if not (PROJECT / path).exists()] == []


def test_each_context_variable_says_why_it_is_no_argument() -> None:
    for name, path in modules().items():
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.match(r"\w+: ContextVar\[", line):
                assert lines[number - 1].startswith("# A context variable, because"), f"{name}: {line}"


FOREIGN_WORDS = re.compile(
    r"\b(?:tells of|Tell of|go(?:es)? along with|in mind|walks|walking|rooms?|for each in|take_turn)\b"
)
"""Metaphors, where a plain technical word says it: report, scan, space; and a loop's variable that names nothing."""


@pytest.mark.parametrize("folder", [*MAY_IMPORT, SITE, "bench", "docs"])
def test_the_words_are_plain(folder: str) -> None:
    paths = [path for suffix in ("py", "md", "sql") for path in (PROJECT / folder).rglob(f"*.{suffix}")]
    found = [
        f"{path.relative_to(PROJECT)}:{number}: {match[0]}"
        for path in paths
        if not {"migrations", "articles"} & set(path.parts)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := FOREIGN_WORDS.search(line))
    ]
    assert found == []


TABLE_WRITTEN = re.compile(r"\b(?:UPDATE|INSERT INTO|DELETE FROM) (?P<app>chat|contexts|retrieval|features|events)_")


def test_an_app_writes_no_table_of_another() -> None:
    """The rows of an app are written by its own modules, also where that takes SQL."""
    found = [
        f"{name}: {match[0]}"
        for name, path in modules().items()
        if not {"migrations", "sample", "tests", "bench"} & set(path.parts)
        for match in TABLE_WRITTEN.finditer(path.read_text())
        if match["app"] != name.split(".")[0]
    ]
    assert found == []


def test_a_class_name_has_one_meaning() -> None:
    """Each class at the top of a module has a name of its own."""
    holders: dict[str, list[str]] = {}
    for name, path in modules().items():
        if "migrations" not in path.parts:
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    holders.setdefault(node.name, []).append(name)
    shared = {name: found for name, found in holders.items() if len(found) > 1 and name not in NAMED_BY_OTHERS}
    assert shared == {}
