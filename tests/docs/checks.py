"""Whether a documented command would work: each raises an error that says why it would not."""

import argparse
import ast
import importlib
import importlib.util
import itertools
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import typer
from asgiref.sync import async_to_sync
from celery.bin.beat import beat
from celery.bin.worker import worker
from django.conf import settings
from django.core.management import BaseCommand, CommandError, get_commands, load_command_class
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client
from django.utils.module_loading import import_string
from uvicorn import main as uvicorn

from tests.docs.pages import PROJECT
from tests.docs.shell import Call
from tests.missing import missing, required

CELERY = {"worker": worker, "beat": beat}


@cache
def settings_page() -> ModuleType:
    """Return docs/settings_page.py as a module."""
    spec = importlib.util.spec_from_file_location("settings_page", PROJECT / "docs" / "settings_page.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_OF_TESTS = {"FABRA_TEST_MEMORY_SCALE"}
"""Variables that no setting is made of."""


@cache
def known_variables() -> frozenset[str]:
    """Return the environment variables of the project."""
    page = settings_page()
    variables = page.all_variables()
    files = {f"{variable.name}_FILE" for variable in variables if variable.kind == page.KINDS["env_secret"]}
    return frozenset({variable.name for variable in variables} | files | page.OUTSIDE.keys() | _OF_TESTS)


def check_call(call: Call, client: Client) -> None:
    check_variables(call.variables)
    if call.program == "curl":
        check_curl(call.arguments, client)
    elif call.program == "make":
        check_make(call.arguments)
    elif call.program.endswith("python"):
        check_python(call.arguments)
    elif call.program == "celery":
        check_celery(call.arguments)
    elif call.program == "uvicorn":
        check_uvicorn(call.arguments)
    elif call.program == "pip":
        check_pip(call.arguments)
    elif call.program == "openapi-python-client":
        check_generator(call.arguments, client)
    elif call.program.endswith("uv"):
        check_uv(call.arguments)


def check_variables(names: Any) -> None:
    unknown = set(names) - known_variables()
    assert not unknown, f"no such variable: {', '.join(sorted(unknown))}"


def check_python(arguments: list[str]) -> None:
    script, *rest = arguments
    if script == "manage.py":
        check_manage(rest)
    else:
        assert (PROJECT / script).is_file(), f"there is no {script}"


def check_manage(arguments: list[str], *, is_mention: bool = False) -> None:
    """A mention in the text may be the command's name alone."""
    name, *rest = arguments
    app = get_commands().get(name)
    assert app, f"there is no command {name}"
    if is_mention and not rest:
        return
    command = app if isinstance(app, BaseCommand) else load_command_class(app, name)
    try:
        command.create_parser("manage.py", name).parse_args(rest)
    except (SystemExit, CommandError) as error:
        raise AssertionError(f"manage.py {' '.join(arguments)}: {error}") from error


def check_make(arguments: list[str]) -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    asked = [argument for argument in arguments if "=" not in argument]
    assert asked and targets.issuperset(asked), f"the Makefile has no target {' '.join(asked)}"
    for name in (argument.partition("=")[0] for argument in arguments if "=" in argument):
        assert f"$({name})" in makefile, f"the Makefile has no variable {name}"


def check_curl(arguments: list[str], client: Client) -> None:
    """Send the request to the project; it must succeed."""
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("-X", dest="method", default="GET")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", "-T", dest="data")
    parser.add_argument("-N", action="store_true")
    parser.add_argument("-i", action="store_true")
    parser.add_argument("url")
    given = parser.parse_args(arguments)
    parts = urlsplit(given.url if "://" in given.url else f"http://{given.url}")
    assert parts.netloc == "localhost:8000", f"{parts.netloc} is not where `make up` listens"
    headers = dict(header.split(": ", 1) for header in given.headers)
    content_type = headers.pop("Content-Type", "application/octet-stream")
    if content_type == "application/json":
        json.loads(given.data)
    response = client.generic(
        given.method, f"{parts.path}?{parts.query}", given.data or "", content_type, headers=headers
    )
    body = _body(response)
    assert response.status_code < 300, f"{given.method} {given.url}: {response.status_code} {body}"
    assert "event: error" not in body, body


def _body(response: Any) -> str:
    if isinstance(response, StreamingHttpResponse) and response.is_async:

        async def read() -> bytes:
            return b"".join([piece async for piece in response])

        return async_to_sync(read)().decode()
    assert isinstance(response, HttpResponse)
    return response.content.decode()


def check_celery(arguments: list[str]) -> None:
    option, app, verb, *rest = arguments
    assert (option, app) == ("-A", "fabra_project")
    queues = CELERY[verb].make_context(verb, rest, resilient_parsing=True).params.get("queues") or ""
    names = queues.split(",") if isinstance(queues, str) else queues
    assert {queue.name for queue in settings.CELERY_TASK_QUEUES}.issuperset(filter(None, names)), f"queues: {names}"


def check_uvicorn(arguments: list[str]) -> None:
    context = uvicorn.make_context("uvicorn", arguments)
    import_string(context.params["app"].replace(":", "."))


def check_pip(arguments: list[str]) -> None:
    for wheel in (value for value in arguments if value.endswith(".whl")):
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
        name = project["name"].replace("-", "_")
        assert wheel == f"dist/{name}-{project['version']}-py3-none-any.whl", f"{wheel} is not what is built"
    for option, value in itertools.pairwise(arguments):
        assert option != "-r" or (PROJECT / value).is_file(), f"there is no {value}"


def check_uv(arguments: list[str]) -> None:
    """Ask uv itself which options the command has."""
    command, *options = arguments
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        missing("uv is missing: run `make install`")
    help_text = subprocess.run([uv, command, "--help"], capture_output=True, text=True, check=True).stdout
    unknown = [option for option in options if not re.search(rf"{re.escape(option)}\b", help_text)]
    assert not unknown, f"uv {command} has no {' '.join(unknown)}"


def check_generator(arguments: list[str], client: Client) -> None:
    command = typer.main.get_command(required("openapi_python_client.cli").app)
    assert isinstance(command, typer.core.TyperGroup)
    verb, *rest = arguments
    context = command.commands[verb].make_context(verb, rest, resilient_parsing=True)
    check_curl([context.params["url"]], client)


def check_fragment(source: str, path: str, given: str | None) -> None:
    """Compile Python that needs what stands around it, and import its names; with what it needs `given`, run it.

    A package that is in none of our requirements cannot be asked for its names.
    """
    code = compile(source, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and importlib.util.find_spec(node.module.partition(".")[0]):
            module = importlib.import_module(node.module)
            names = [alias.name for alias in node.names if alias.name != "*"]
            assert all(hasattr(module, name) for name in names), f"{node.module} has not all of {', '.join(names)}"
    if given is not None:
        namespace: dict[str, Any] = {"__name__": "fragment"}
        exec(given, namespace)  # noqa: S102 (our own)
        exec(code, namespace)  # noqa: S102 (our own pages)
