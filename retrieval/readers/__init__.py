"""Readers: what turns a file into documents; one module for each kind, chosen by suffix and content."""

from retrieval.readers import docx, html, markdown, mdx, pdf, tables, text
from retrieval.readers.documents import Options, SourceDocument, SourceFile, Unreadable
from retrieval.readers.registry import SUFFIXES, is_readable, read

__all__ = [
    "SUFFIXES", "Options", "SourceDocument", "SourceFile", "Unreadable", "docx", "html", "is_readable", "markdown",
    "mdx", "pdf", "read", "tables", "text",
]  # fmt: skip
