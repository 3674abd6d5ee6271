"""Files for the tests of the readers, made in memory."""

import io
import zipfile


def pdf(*pages: str, title: str = "") -> bytes:
    """Return a PDF with these lines on its pages; U+FB01 and U+FB02 become the glyphs of ligatures."""
    font = (
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding << /Type /Encoding"
        " /BaseEncoding /WinAnsiEncoding /Differences [1 /fi /fl] >> >>"
    )
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", font]
    kids = []
    for page in pages:
        stream = "BT /F1 12 Tf 14 TL 72 720 Td " + " ".join(f"({line}) Tj T*" for line in page.split("\n")) + " ET"
        stream = stream.replace("\ufb01", "\x01").replace("\ufb02", "\x02")
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.append(f"<< /Title ({title}) >>")
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n".encode("cp1252")
    start = len(out)
    rows = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}".encode()
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>"
    return out + f"trailer {trailer}\nstartxref\n{start}\n%%EOF".encode()


_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_NAMESPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:v="urn:schemas-microsoft-com:vml" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
)


def docx_parts(body: str, before: str = "", main: str = "word/document.xml", **related: str) -> dict[str, str | bytes]:
    """Return the parts of a DOCX by name; each of `related`, such as header="<w:p/>", is a part of that type."""
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    folder, name = main.rpartition("/")[::2]
    links = "".join(f'<Relationship Id="{kind}" Type="{_OFFICE}/{kind}" Target="{kind}.xml"/>' for kind in related)
    return {
        "[Content_Types].xml": f'<?xml version="1.0"?><Types xmlns="{_PACKAGE}/content-types">'
        f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/{main}" ContentType="{word}.document.main+xml"/></Types>',
        "_rels/.rels": f'<?xml version="1.0"?><Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{_OFFICE}/officeDocument" Target="{main}"/></Relationships>',
        f"{folder}/_rels/{name}.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>',
        main: f'<?xml version="1.0"?>{before}<w:document {_NAMESPACES}><w:body>{body}</w:body></w:document>',
    } | {
        f"{folder}/{kind}.xml": f"<w:{_ROOTS[kind]} {_NAMESPACES}>{text}</w:{_ROOTS[kind]}>"
        for kind, text in related.items()
    }


_ROOTS = {"header": "hdr", "footer": "ftr", "footnotes": "footnotes", "endnotes": "endnotes",
          "chart": "chart", "styles": "styles", "numbering": "numbering"}  # fmt: skip


def docx(body: str, before: str = "", **related: str) -> bytes:
    """Return a DOCX with this XML in its body; `before` goes ahead of the document element."""
    return zipped(docx_parts(body, before, **related))


def paragraph(text: str, style: str = "") -> str:
    about = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{about}<w:r><w:t>{text}</w:t></w:r></w:p>"


def zipped(files: dict[str, str | bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()
