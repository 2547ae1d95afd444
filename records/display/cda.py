"""The narrative of a CDA document as HTML of FHIR's narrative subset: section titles and their text, nothing else.

What comes out is sanitised again (documents.sanitised). HL7 CDA R2, section.text (StrucDocText).
"""

from html import escape
from xml.etree import ElementTree

DEEPEST = 60
_SAME = {"br", "sub", "sup", "table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption", "col", "colgroup"}
_OTHERS = {"paragraph": "p", "item": "li", "content": "span", "linkHtml": "span", "footnote": "small", "list": "ul"}
_DROPPED = {"renderMultiMedia", "footnoteRef"}
_BARE = {"br", "col"}


def html_of(text: str) -> str:
    """Headings and text of all sections; "" for what is no CDA document, or one with a document type of its own."""
    # A document type may define entities: no CDA needs one, and a few lines of them fill the memory.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return ""
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without a document type there is nothing to expand
    except (ElementTree.ParseError, ValueError):
        return ""
    if _name(root) != "ClinicalDocument":
        return ""
    return "".join(_section(element) for element in root.iter() if _name(element) == "section")


def _section(section: ElementTree.Element) -> str:
    found = ""
    for child in section:
        if _name(child) == "title":
            found += f"<h4>{escape(''.join(child.itertext()))}</h4>"
        elif _name(child) == "text":
            found += f"<div>{_inside(child, 0)}</div>"
    return found


def _inside(element: ElementTree.Element, depth: int) -> str:
    if depth > DEEPEST:
        return escape("".join(element.itertext()))
    parts = [escape(element.text or "")]
    for child in element:
        parts += [_element(child, depth), escape(child.tail or "")]
    return "".join(parts)


def _element(element: ElementTree.Element, depth: int) -> str:
    name = _name(element)
    if name in _DROPPED:
        return ""
    tag = name if name in _SAME else _OTHERS.get(name, "")
    if name == "list" and element.get("listType") == "ordered":
        tag = "ol"
    if tag in _BARE:
        return f"<{tag}>"
    inside = _inside(element, depth + 1)
    if not tag:
        return inside
    span = "".join(f' {key}="{escape(element.get(key, ""))}"' for key in ("colspan", "rowspan") if element.get(key))
    return f"<{tag}{span}>{inside}</{tag}>"


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
