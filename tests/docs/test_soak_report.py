"""The page of a soak: its figures are of the samples, and what a person wrote into it stays."""

from pathlib import Path

import pytest

from bench.soak.load import Load
from bench.soak.report import write_report
from bench.soak.samples import Sample


@pytest.fixture
def samples() -> list[Sample]:
    """An hour in which the web process takes 100 MB, and a worker grows by 60 MB an hour."""
    return [
        Sample(
            at_s=300.0 * number, memory_mb={"web": 100.0, "worker": 200.0 + 5 * number},
            queues={"default": number % 2}, dead_rows=1000, live_rows=5000, database_mb=50.0, redis_mb=8.0,
            chat_p50_ms=40.0, chat_p95_ms=90.0, event_p50_ms=20.0, event_p95_ms=30.0 + number,
        )
        for number in range(13)
    ]  # fmt: skip


@pytest.fixture
def load() -> Load:
    load = Load(url="http://localhost", chats_a_second=5, events_a_second=20)
    load.results.update({"chat 200": 18_000})
    return load


def test_what_grows_is_told(tmp_path: Path, samples: list[Sample], load: Load) -> None:
    page = write_report(tmp_path, samples, load).read_text()
    assert "| web | 100 | 100 | 100 | +0.0 | flat |" in page
    assert "| worker | 208 | 238 | 252 | +60.0 | grows |" in page
    assert "| Events to their end, p95 | 32 ms | 39 ms | 42 ms |" in page
    assert "60 minutes at 5 chats and 20 events a second" in page and "Requests: 18,000 × chat 200." in page
    assert (tmp_path / "images" / "soak.svg").read_text().startswith("<svg")


def test_what_a_person_wrote_stays(tmp_path: Path, samples: list[Sample], load: Load) -> None:
    path = write_report(tmp_path, samples, load)
    begin, end = (line for line in path.read_text().splitlines() if line.startswith("<!--"))
    notes = "The machine was not alone.\n\nIts disk was slow."
    path.write_text(path.read_text().replace(f"{begin}\n", f"{begin}\n\n{notes}\n\n"))
    for _ in range(2):
        write_report(tmp_path, samples, load)
        assert f"{begin}\n\n{notes}\n\n{end}" in path.read_text()
        assert path.read_text().count("Its disk was slow.") == 1
