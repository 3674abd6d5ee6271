"""Readers: convert files to documents; one module for each format, chosen by suffix and content."""

from retrieval.readers import docx, html, markdown, mdx, pdf, tables, text
from retrieval.readers.documents import (
    AudienceUnknown,
    Empty,
    FetchedFile,
    Options,
    ReadDocument,
    ReadWarning,
    Unreadable,
)
from retrieval.readers.registry import SUFFIXES, is_readable, read, unread_reason

__all__ = [
    "SUFFIXES",
    "AudienceUnknown",
    "Empty",
    "FetchedFile",
    "Options",
    "ReadDocument",
    "ReadWarning",
    "Unreadable",
    "docx",
    "html",
    "is_readable",
    "markdown",
    "mdx",
    "pdf",
    "read",
    "tables",
    "text",
    "unread_reason",
]  # fmt: skip
