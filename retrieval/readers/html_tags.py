"""Kinds of HTML elements, by their tags."""

OMITTED = {"script", "style", "template", "svg", "iframe", "embed", "head", "select", "datalist",
           "annotation", "annotation-xml", "colgroup", "map", "title"}  # fmt: skip
"""What has words that are no text of the page."""
BLOCKS = {"address", "article", "aside", "audio", "body", "canvas", "caption", "center", "dd", "details", "dialog",
          "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "html",
          "legend", "main", "nav", "noscript", "object", "optgroup", "p", "search", "section", "summary", "tbody",
          "td", "textarea", "tfoot", "th", "thead", "tr", "video"}  # fmt: skip
LINES = BLOCKS - {"td", "th"} | {"ul", "ol", "li"}
"""What has lines of its own, also inside of <pre>."""
