"""The seed document's code runs word for word: as definitions of web and worker, and as plain scripts."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from events.models import Event
from features.models import FeatureValue
from retrieval.models import Chunk
from tests.processes import Processes, test_environment, wait_until

SEED = Path(__file__).resolve().parents[3] / "shared" / "seed" / "rag-chatbot.md"

pytestmark = [
    pytest.mark.skipif(not SEED.exists(), reason=f"the seed document is not here: put it at {SEED}"),
    pytest.mark.django_db(transaction=True),
]


def blocks() -> dict[str, str]:
    """Return the Python of the document by its heading, but for FastAPI's."""
    found: dict[str, str] = {}
    for section in re.split(r"^#{2,3} ", SEED.read_text(), flags=re.MULTILINE):
        heading = section.split("\n", 1)[0]
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", section, re.DOTALL)):
            found[f"{heading} {number}"] = code
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    code = blocks()
    chatbot = [
        code["Step 1: Define Entities and Features 0"],
        code["Step 3: Define Retrievers 0"],
        code["Step 4: Assemble Context 0"],
        code["Step 6: Real-Time Doc Updates 0"],
        code["Token Budget by Tier 0"],
    ]
    (tmp_path / "chatbot.py").write_text("\n".join(chatbot))
    (tmp_path / "index_docs.py").write_text(code["Step 2: Index Your Knowledge Base 0"])
    (tmp_path / "cms_webhook.py").write_text(code["Step 6: Real-Time Doc Updates 1"])
    return tmp_path


def run_script(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=test_environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_code_runs_as_plain_scripts_from_another_folder(folder: Path) -> None:
    assert run_script(folder, "index_docs.py") == "Indexed 1 documents\n"
    assert Chunk.objects.get().text == "To reset your password..."
    (folder / "ask.py").write_text(
        "import asyncio, json\n"
        "import chatbot\n"
        "async def main():\n"
        "    ctx = await chatbot.chat_context('user_123', 'How do I reset my password?')\n"
        "    trace = await chatbot.store.online_store.get(f'trace:{ctx.id}')\n"
        "    print(json.dumps([ctx.content, ctx.max_tokens, json.loads(trace)['context']]))\n"
        "asyncio.run(main())\n"
        "asyncio.run(main())  # a module-level store works under repeated asyncio.run\n"
    )
    for line in run_script(folder, "ask.py").splitlines():
        content, max_tokens, name = json.loads(line)
        assert content == (
            "You are a helpful assistant.\n\nUser tier: premium\n\nDocs:\nTo reset your password...\n\n"
            "(Premium) Add more history/tools here."
        )
        assert (max_tokens, name) == (8000, "chat_context_premium")


def test_its_code_runs_as_the_definitions_of_web_worker_and_consumer(folder: Path, tmp_path: Path) -> None:
    run_script(folder, "index_docs.py")
    environment = {"FABRA_DEFINITIONS": "chatbot", "PYTHONPATH": f"{folder}:{Path.cwd()}"}
    with Processes(tmp_path, **environment) as processes:
        processes.start_worker()
        processes.start_consumer()
        processes.start_web()
        body = json.dumps({"user_id": "user_123", "message": "How do I reset my password?"}).encode()
        request = urllib.request.Request(
            f"{processes.url}/chat", data=body, headers={"Content-Type": "application/json"}
        )
        answer = json.load(urllib.request.urlopen(request, timeout=120))
        assert "To reset your password..." in answer["context_used"]
        assert answer["citations"][0]["document_id"] == "doc_1"

        (folder / "save.py").write_text(
            "import asyncio, cms_webhook\n"
            "asyncio.run(cms_webhook.on_doc_save('doc_1', 'Passwords are reset by phone.', {'category': 'account'}))\n"
        )
        run_script(folder, "save.py")
        event = wait_until(lambda: Event.objects.filter(state="done", event_type="doc_updated").first())
        assert list(event.outcomes.values_list("handler", "is_done")) == [("feature:doc_content", True)]
        assert Chunk.objects.get().text == "Passwords are reset by phone."
        assert FeatureValue.objects.get(feature="doc_content").value == "Passwords are reset by phone."
        answer = json.load(urllib.request.urlopen(request, timeout=120))
        assert "by phone" in answer["context_used"]
        assert "To reset" not in answer["context_used"]


def test_a_script_without_a_stack_says_what_to_do(folder: Path) -> None:
    environment = test_environment(REDIS_URL="redis://127.0.0.1:1/0")
    done = subprocess.run(
        [sys.executable, "index_docs.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert "run `make up`" in done.stderr
    assert "Traceback" not in done.stderr
