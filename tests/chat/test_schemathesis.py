"""schemathesis calls every operation of the OpenAPI schema, with a key and without, and finds nothing.

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


CONFIG = """
# What no list gave is no cursor, but no pattern can say so.
[[operations]]
include-name = ["GET /api/documents/", "GET /api/conversations/", "GET /api/events/", "GET /api/traces/"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "5xx"]

# Who is an agent, no schema says.
[[operations]]
include-name = [
    "POST /api/conversations/{conversation_id}/assign/", "POST /api/conversations/{conversation_id}/reply/",
    "POST /api/conversations/{conversation_id}/transfer/", "POST /api/conversations/{conversation_id}/hand_back/",
    "POST /api/conversations/{conversation_id}/close/",
]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "5xx"]
"""


def schema_of(web: Processes, folder: Path) -> Path:
    """Return the server's schema without what schemathesis cannot try: see test_bulk, test_idempotency and others.

    It writes no lines of JSON, and takes it for an error that a condition of a header is not met.
    """
    schema = json.loads(urllib.request.urlopen(f"{web.url}/api/schema/?format=json").read())
    del schema["paths"]["/api/documents/bulk/"]
    for operations in schema["paths"].values():
        for operation in operations.values():
            found = operation.get("parameters", [])
            operation["parameters"] = [parameter for parameter in found if parameter["in"] != "header"]
    path = folder / "schema.json"
    path.write_text(json.dumps(schema))
    return path


def findings(web: Processes, folder: Path, *options: str) -> str:
    """Return what schemathesis found, "" for nothing; fail if it did not call the whole schema."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", str(schema_of(web, folder)), "--url", web.url,
        "--checks", "all", "--seed", SEED, "--max-examples", EXAMPLES, "--continue-on-failure",
        "--generation-database", "none",
    ]  # fmt: skip
    run = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False, timeout=1800)
    operations = re.search(r"Tested: (\d+)", run.stdout)
    assert operations and int(operations[1]) >= 11, run.stdout + run.stderr
    log = (folder / "web.log").read_text()
    return run.stdout if run.returncode or "Traceback" in log else ""


@pytest.mark.parametrize("has_key", [True, False])
def test_nothing_is_found(has_key: bool, web: Processes, tmp_path: Path) -> None:
    key = ApiKey.make("tester", list(ApiKey.Scope.values), None)[1]
    header = ["--header", f"Authorization: Bearer {key}"]
    # Without a key every call is refused, so it need not be tried with every odd value.
    found = findings(web, tmp_path, *(["--phases", PHASES, *header] if has_key else ["--phases", "fuzzing"]))
    assert not found, found
