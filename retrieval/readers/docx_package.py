"""Open the package of a Word document: its parts under their right names, and which of them is the main one.

Some programs write the main part under another name, backslashes in the names, names in other cases, or the namespaces
of the strict format. mammoth wants none of these, so it gets a package that has been put right.
"""

import io
import posixpath
import zipfile
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from retrieval.readers.documents import Unreadable

MAX_BYTES = 100 << 20
_TRANSITIONAL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
_STRICT = "http://purl.oclc.org/ooxml/officeDocument/relationships/"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_MAIN_TYPES = ("document.main+xml", "document.macroEnabled.main+xml", "template.main+xml",
               "template.macroEnabledTemplate.main+xml")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Package:
    """The parts of a document."""

    main: str
    """The path of the main part, such as `word/document.xml`."""
    parts: dict[str, bytes]
    """The content of each part by its path, with slashes."""
    related: dict[str, list[str]] = field(default_factory=dict)
    """The paths of the parts that the main part refers to, by the last word of the relationship's type."""

    def rebuilt(self) -> io.BytesIO:
        """Return a ZIP of the parts with names and relationships as mammoth expects them."""
        target = io.BytesIO()
        relationships = etree.Element(f"{{{_PACKAGE}/relationships}}Relationships")
        kind = f"{_TRANSITIONAL}officeDocument"
        etree.SubElement(
            relationships, f"{{{_PACKAGE}/relationships}}Relationship", Id="main", Type=kind, Target=self.main
        )
        with zipfile.ZipFile(target, "w") as archive:
            for path, content in (self.parts | {"_rels/.rels": etree.tostring(relationships)}).items():
                is_relationships = path.endswith(".rels")
                archive.writestr(
                    path, content.replace(_STRICT.encode(), _TRANSITIONAL.encode()) if is_relationships else content
                )
        target.seek(0)
        return target


def open_package(content: bytes) -> Package:
    """Return the parts of a DOCX; raise Unreadable if it is none, is broken, or would be too large."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {_path(member.filename): member for member in archive.infolist() if not member.is_dir()}
            if sum(member.file_size for member in members.values()) > MAX_BYTES:
                raise Unreadable(f"more than {MAX_BYTES >> 20} MB when unpacked")
            if any(member.flag_bits & 1 for member in members.values()):
                raise Unreadable("encrypted")
            parts = {path: archive.read(member) for path, member in members.items() if _is_needed(path)}
    except zipfile.BadZipFile:
        raise Unreadable("a broken DOCX") from None
    main = _main_part(parts)
    return Package(main=main, parts=parts, related=_related(parts, main))


def parse(content: bytes) -> Any:
    """Return the root of a part; raise Unreadable for broken or hostile XML."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"broken XML ({(error.msg or 'syntax')[:100]})") from None
    if root.getroottree().docinfo.doctype:
        raise Unreadable("broken: XML with a document type, as no Word document has")
    return root


def _path(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/")).lstrip("/")


def _is_needed(path: str) -> bool:
    """Return whether a part has text: pictures are not unpacked."""
    return path.lower().endswith((".xml", ".rels"))


def _main_part(parts: dict[str, bytes]) -> str:
    """Return the path of the main part, as the package's relationships, its content types or its usual name say."""
    candidates = [path for kind, path in _relationships(parts, "") if kind == "officeDocument"]
    types = parts.get("[Content_Types].xml")
    if types:
        overrides = parse(types).iter(f"{{{_PACKAGE}/content-types}}Override")
        candidates += [
            _path(o.get("PartName", "")) for o in overrides if o.get("ContentType", "").endswith(_MAIN_TYPES)
        ]
    by_lower = {path.lower(): path for path in parts}
    for path in [*candidates, "word/document.xml"]:
        if path.lower() in by_lower:
            return by_lower[path.lower()]
    raise Unreadable("a ZIP file, but no Word document")


def _related(parts: dict[str, bytes], main: str) -> dict[str, list[str]]:
    by_lower = {path.lower(): path for path in parts}
    related: dict[str, list[str]] = {}
    for kind, path in _relationships(parts, main):
        related.setdefault(kind, []).append(by_lower.get(path.lower(), path))
    return related


def _relationships(parts: dict[str, bytes], source: str) -> list[tuple[str, str]]:
    """Return the last word of the type, and the path, of what a part refers to within the package."""
    folder, name = posixpath.split(source)
    wanted = posixpath.join(folder, "_rels", f"{name}.rels").lower()
    content = next((content for path, content in parts.items() if path.lower() == wanted), None)
    if content is None:
        return []
    found = []
    for relationship in parse(content).iter(f"{{{_PACKAGE}/relationships}}Relationship"):
        if relationship.get("TargetMode") != "External":
            target = relationship.get("Target", "").replace("\\", "/")
            path = target if target.startswith("/") else posixpath.join(folder, target)
            found.append((relationship.get("Type", "").rpartition("/")[2], _path(path)))
    return found
