"""Check a bot's picture: a photograph is drawn anew and made small, an SVG is refused if it could do anything."""

import io
import re
from dataclasses import dataclass

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from lxml import etree
from PIL import Image, UnidentifiedImageError

from common.errors import InvalidInput

MAX_FILE_BYTES = 2_000_000
MAX_SVG_BYTES = 100_000
_MAX_PIXELS = 16_000_000
_SIDE = 256
"""The longest side of what is stored, in pixels; the page shows at most 40, on screens of up to four times that."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_ELEMENTS = frozenset(
    {
        *("svg", "g", "defs", "symbol", "use", "switch", "title", "desc", "style", "text", "tspan", "textPath"),
        *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "clipPath", "mask", "pattern", "marker"),
        *("linearGradient", "radialGradient", "stop", "filter", "feBlend", "feColorMatrix", "feComponentTransfer"),
        *("feComposite", "feDropShadow", "feFlood", "feFuncA", "feFuncB", "feFuncG", "feFuncR", "feGaussianBlur"),
        *("feMerge", "feMergeNode", "feMorphology", "feOffset", "feTile"),
    }
)
"""What draws. Not among them: scripts, links, animations, pages and pictures from elsewhere."""
_OUTSIDE = re.compile(r"url\(\s*['\"]?(?!\s*#)|@import|expression\(|javascript:|\\", re.IGNORECASE)
"""In a style or an attribute: an address other than of a part of the same picture; an escape may hide one."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    content: bytes
    media_type: str


def check_logo(content: bytes) -> Picture:
    """Return the picture as it is stored, whatever its file is called; raise InvalidInput."""
    if len(content) > MAX_FILE_BYTES:
        raise InvalidInput(f"The file has {len(content):,} bytes; at most {MAX_FILE_BYTES:,} are taken.")
    if _looks_like_xml(content):
        return Picture(content=_checked_svg(content), media_type="image/svg+xml")
    return Picture(content=_drawn_anew(content), media_type="image/png")


def _looks_like_xml(content: bytes) -> bool:
    return content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _drawn_anew(content: bytes) -> bytes:
    """Return a PNG of at most 256 by 256 pixels: no metadata, and nothing else that the file has, is left."""
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise InvalidInput(f"The picture has {picture.width} × {picture.height} pixels; make it smaller.")
            drawn = picture.convert("RGBA")
    except UnidentifiedImageError:
        raise InvalidInput("This is no PNG, JPEG, WebP, GIF or SVG.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InvalidInput("The picture is damaged.") from None
    drawn.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    drawn.save(out, "PNG", optimize=True)
    return out.getvalue()


def _checked_svg(content: bytes) -> bytes:
    """Return the SVG without comments, instructions and parts of other vocabularies; raise InvalidInput."""
    if len(content) > MAX_SVG_BYTES:
        raise InvalidInput(f"The SVG has {len(content):,} bytes; at most {MAX_SVG_BYTES:,} are taken.")
    try:
        fromstring(content, forbid_dtd=False)  # refuses entities
    except DefusedXmlException:
        raise InvalidInput("The SVG declares entities; export it as a plain SVG.") from None
    except (SyntaxError, ValueError):
        raise InvalidInput("The SVG is no well-formed XML.") from None
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        raise InvalidInput("The SVG is no well-formed XML.") from None
    if root.tag != f"{{{_SVG}}}svg":
        raise InvalidInput("The file is XML, and no SVG.")
    for element in list(root.iter()):
        _check_element(element)
    return etree.tostring(root, encoding="utf-8")


def _check_element(element: "etree._Element") -> None:
    name = etree.QName(element)
    parent = element.getparent()
    if name.namespace != _SVG or name.localname == "metadata":  # what a drawing program keeps for itself
        if parent is not None:
            parent.remove(element)
        return
    if name.localname not in _ELEMENTS:
        raise InvalidInput(f"The SVG has a <{name.localname}>, which a picture does not need; remove it, or use a PNG.")
    if name.localname == "style" and _OUTSIDE.search(element.text or ""):
        raise InvalidInput("A style of the SVG loads something from elsewhere.")
    for attribute, value in list(element.attrib.items()):
        local = etree.QName(attribute).localname.lower()
        if local.startswith("on"):
            raise InvalidInput(f"The SVG has an {local}, which runs a script; remove it.")
        if (local == "href" and not value.strip().startswith("#")) or _OUTSIDE.search(value):
            raise InvalidInput(f"The attribute {local} of the SVG names something elsewhere.")
        if etree.QName(attribute).namespace not in (None, _SVG) and attribute != _XLINK:
            del element.attrib[attribute]
