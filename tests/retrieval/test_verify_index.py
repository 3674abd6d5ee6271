"""verify_index names each disagreement that rows can have, and mends it."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from retrieval.generations import verification
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index, LexemeCount
from retrieval.search.execute import search_sync

pytestmark = pytest.mark.django_db

LONG = "# Guide\n\n" + "\n\n".join(f"## Part {n}\n\n" + f"Sentence {n} about topic {n}. " * 40 for n in range(4))


@pytest.fixture(autouse=True)
def documents() -> None:
    index_document("docs", "guide", LONG, {"category": "a"})
    index_document("docs", "bird", "Penguins swim.", {"category": "b"}, audience=["staff"])
    index_document("docs", "bird", "Penguins swim well.", {"category": "b"}, audience=["staff"])
    index_document("docs", "gone", "Gulls.")
    delete_document("docs", "gone")
    index_document("other", "guide", LONG)


def verify(*arguments: str) -> dict[str, Any]:
    out, code = StringIO(), 0
    try:
        call_command("verify_index", "docs", "--json", *arguments, stdout=out, stderr=StringIO())
    except CommandError as error:
        code = error.returncode
    report: dict[str, Any] = json.loads(out.getvalue())
    assert code == bool(report["left"])
    return report


def copy_of(chunk: Chunk, **changes: Any) -> None:
    columns = [field.name for field in Chunk._meta.concrete_fields if not field.generated and not field.primary_key]
    copy = Chunk(**{name: getattr(chunk, name) for name in columns} | changes)
    Chunk.objects.bulk_create([copy])


def bird() -> Chunk:
    return Chunk.objects.get(document__entity_id="bird")


def revive_chunk() -> None:
    copy_of(bird(), document=Document.objects.get(entity_id="gone"))


def raw(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


CORRUPTIONS: dict[str, tuple[str, Callable[[], Any]]] = {
    "a version too old": (
        "document",
        lambda: Document.objects.filter(entity_id="bird").update(version=DocumentVersion.objects.get(
            document__entity_id="bird", number=1)),
    ),
    "no version": ("document", lambda: Document.objects.filter(entity_id="bird").update(version=None)),
    "another's version": (
        "document",
        lambda: Document.objects.filter(entity_id="bird").update(
            version=Document.objects.get(index__name="docs", entity_id="guide").version),
    ),
    "another text": ("document", lambda: Document.objects.filter(entity_id="bird").update(text="Changed.")),
    "a chunk of a deleted document": ("deleted", revive_chunk),
    "a chunk in another index": (
        "foreign", lambda: copy_of(bird(), generation=Generation.objects.get(index__name="other"))
    ),
    "no chunks": ("missing", lambda: Chunk.objects.filter(document__entity_id="bird").delete()),
    "a stale chunk": (
        "stale", lambda: Chunk.objects.filter(document__entity_id="bird").update(
            version=DocumentVersion.objects.get(document__entity_id="bird", number=1)),
    ),
    "a gap": ("position", lambda: Chunk.objects.filter(document__entity_id="guide", position=2).delete()),
    "a chunk twice": ("position", lambda: copy_of(bird())),
    "other metadata": ("metadata", lambda: Chunk.objects.filter(document__entity_id="bird").update(metadata={})),
    "another audience": ("metadata", lambda: Chunk.objects.filter(document__entity_id="bird").update(audience=[])),
    "a changed text": ("hash", lambda: Chunk.objects.filter(document__entity_id="bird").update(text="Changed.")),
    "a changed hash": ("hash", lambda: Chunk.objects.update(content_hash="0" * 64)),
    "a null vector": ("embedding", lambda: Chunk.objects.filter(position=0).update(embedding=[0.0] * 384)),
    "a short vector": ("embedding", lambda: Chunk.objects.filter(position=0).update(embedding=[1.0] * 3)),
    "a wrong version hash": ("version", lambda: DocumentVersion.objects.update(content_hash="0" * 64)),
    "a wrong count": ("count", lambda: Index.objects.update(chunk_count=F("chunk_count") + 1)),
    "a lost lexeme": ("lexemes", lambda: LexemeCount.objects.filter(lexeme="penguin").delete()),
    "a wrong length": ("lexemes", lambda: LexemeCount.objects.filter(lexeme="").update(length=1)),
}  # fmt: skip


def test_what_agrees_has_no_findings() -> None:
    assert verify("--sample", "5") == {"index": "docs", "found": [], "left": []}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_disagreement_is_found_and_mended(name: str) -> None:
    check, corrupt = CORRUPTIONS[name]
    said = Document.objects.get(entity_id="bird").text
    corrupt()
    found = verify()["found"]
    assert check in {finding["check"] for finding in found}
    assert all(finding["what"] for finding in found)
    assert verify("--repair")["left"] == []
    assert verify()["found"] == []
    expected = "Changed." if name == "another text" else said
    hits = search_sync("docs", "penguins swim", 1, audience=["staff"]).hits
    assert [hit.content for hit in hits] == [expected] or name == "another text"
    assert not Chunk.objects.filter(document__entity_id="gone").exists()


def test_a_vector_of_another_text_is_found_by_a_sample() -> None:
    other = Chunk.objects.filter(document__entity_id="guide").first()
    assert other is not None
    Chunk.objects.filter(document__entity_id="bird").update(embedding=other.embedding)
    assert verify()["found"] == []
    (finding,) = verify("--sample", "50")["found"]
    assert (finding["check"], finding["document"]) == ("sample", "bird")
    assert verify("--sample", "50", "--repair")["left"] == []


def test_an_index_that_is_not_there_is_another_exit() -> None:
    with pytest.raises(CommandError) as raised:
        call_command("verify_index", "nothing", stderr=StringIO())
    assert raised.value.returncode == 2


def test_the_bar_moves_with_each_part_and_ends_full() -> None:
    index = Index.objects.get(name="docs")
    phases: list[str] = []
    steps: list[int] = []
    progress = verification.VerificationProgress(on_phase=phases.append, on_done=steps.append)
    found = verification.verify(index, sample=50, progress=progress, window_size=2, embedded_at_once=2)
    assert list(found) == []
    generation = Generation.objects.get(index=index).pk
    assert phases == ["documents", *(f"{part} of #{generation}" for part in ("words", "texts", "vectors"))]
    chunks = Chunk.objects.filter(generation=generation).count()
    assert sum(steps) == verification.step_count(index, sample=50) == 9 + chunks
    assert verification.step_count(index, sample=2) == 9 + 2
    assert max(steps) <= 3


def test_a_lost_hnsw_is_found() -> None:
    Generation.objects.filter(index__name="docs").update(has_hnsw=True)
    assert [finding["check"] for finding in verify()["found"]] == ["hnsw"]
