"""schemathesis calls every operation of the whole OpenAPI schema, with a key and without, and finds nothing.

Three examples of each operation are made at random, always the same ones, beside those of the schema and the values at
the bounds of each parameter.
`FABRA_SCHEMA_EXAMPLES=200 make test ARGS=tests/chat/test_schemathesis.py` looks longer, and `FABRA_SCHEMA_SEED=2`
elsewhere.
"""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chat.models import ApiKey
from retrieval.indexing.documents import index_document
from tests.missing import required
from tests.processes import Processes

required("schemathesis")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("embedder")]

EXAMPLES = os.environ.get("FABRA_SCHEMA_EXAMPLES", "3")
PHASES = "examples,coverage,fuzzing" + (",stateful" if "FABRA_SCHEMA_EXAMPLES" in os.environ else "")
SEED = os.environ.get("FABRA_SCHEMA_SEED", "1")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Processes]:
    """A server in production mode, whose schema is open."""
    environment = {
        "DEBUG": "0", "FABRA_WEB": "1", "FABRA_HTTPS_ONLY": "0", "FABRA_API_DOCS": "1", "OPENAI_API_KEY": "",
        "FABRA_EMBEDDER": "tests.embedders.FragileEmbedder", "FABRA_EMBEDDING_MODEL": "hashing-256",
        "FABRA_LIMIT_DEFAULT": "1000000", "FABRA_LIMIT_ADDRESS": "0", "FABRA_LOG_LEVEL": "ERROR",
    }  # fmt: skip
    index_document("knowledge_base", "a", "To reset your password, click the link.")
    with Processes(tmp_path, **environment) as processes:
        processes.start_web()
        yield processes


HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "429", "5xx"]
"""What schemathesis expects for a request that the schema allows."""
STATES = {
    "cursor": "400",  # what no list gave is none, but no pattern can say so
    "If-Match": "412",
    "If-None-Match": "412",
    "Idempotency-Key": "422",  # it was sent with another request before
}
"""Parameters whose values may be refused for the state of the server, and how: that is no matter of the schema."""
DESK = ("assign", "reply", "transfer", "hand_back", "close")
"""What only agents do; who is one, no schema says."""


def config_of(schema: dict[str, Any]) -> str:
    """Return how schemathesis is to run: with what it may get beside `ACCEPTED` from each operation."""
    parts = [f"hooks = {json.dumps(str(HOOKS))}"]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            names = [parameter["name"] for parameter in operation.get("parameters", [])]
            also = {STATES[name] for name in names if name in STATES}
            also |= {"400"} if path.endswith(tuple(f"{{conversation_id}}/{name}/" for name in DESK)) else set()
            name, statuses = f"{method.upper()} {path}", json.dumps([*ACCEPTED, *sorted(also)])
            parts += ["[[operations]]", f'include-name = "{name}"'] if also else []
            parts += [f"checks.positive_data_acceptance.expected-statuses = {statuses}"] if also else []
    return "\n".join(parts)


def findings(web: Processes, folder: Path, *options: str) -> str:
    """Return what schemathesis found, "" for nothing; fail if it did not call the whole schema."""
    schema = json.loads(urllib.request.urlopen(f"{web.url}/api/schema/?format=json").read())
    (folder / "schema.json").write_text(json.dumps(schema))
    (folder / "schemathesis.toml").write_text(config_of(schema))
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", "schema.json", "--url", web.url,
        "--checks", "all", "--seed", SEED, "--max-examples", EXAMPLES, "--continue-on-failure",
        "--generation-database", "none",
    ]  # fmt: skip
    run = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False, timeout=1800)
    tested = re.search(r"Tested: (\d+)", run.stdout)
    operations = sum(len(operations) for operations in schema["paths"].values())
    assert tested and int(tested[1]) == operations > 30, run.stdout + run.stderr
    log = (folder / "web.log").read_text()
    return run.stdout if run.returncode or "Traceback" in log else ""


@pytest.mark.parametrize("has_key", [True, False])
def test_nothing_is_found(has_key: bool, web: Processes, tmp_path: Path) -> None:
    key = ApiKey.make("tester", list(ApiKey.Scope.values), None)[1]
    header = ["--header", f"Authorization: Bearer {key}"]
    # Without a key every call is refused, so it need not be tried with every odd value.
    found = findings(web, tmp_path, *(["--phases", PHASES, *header] if has_key else ["--phases", "fuzzing"]))
    assert not found, found
