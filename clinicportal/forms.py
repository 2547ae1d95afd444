"""What a form of ours may say about a field beyond Django's own words, and how a widget is described to field.jinja.

`describe(self.fields["why"], reasons=[...])` in a form's `__init__` or `clean`; components/field.jinja draws it:

- `passed`: a sentence with a green tick below the input ("This address belongs to Partner B").
- `suggestion`: a corrected value, offered as a button named `use-<field name>` that posts the form again.
- `reasons`: usual answers, shown as chips that fill the field; only where scripts run.
- `reveals`: {choice value: name of the field that appears with it}, for radios and checkboxes. That field is drawn
  inside, so the page does not draw it again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from django import forms
from django.utils.functional import Promise

TEXT_KINDS = {
    "text",
    "email",
    "number",
    "password",
    "search",
    "tel",
    "url",
    "date",
    "time",
    "datetime-local",
    "hidden",
    "file",
}
# Drawn by the NHS.UK macros themselves; or (required) refused by us with a sentence, not by the browser's bubble.
OWN_ATTRIBUTES = {
    "id",
    "name",
    "type",
    "class",
    "required",
    "disabled",
    "aria-describedby",
    "rows",
    "cols",
    "small",
    "inline",
    "checked",
}


class WithHint(str):
    """A choice's label with a quiet line below: `WithHint("Shared care", hint="about 120 patients today")`."""

    hint: str | Promise

    def __new__(cls, label: object, *, hint: str | Promise = "") -> Self:
        self = super().__new__(cls, label)
        self.hint = hint
        return self


def describe(
    field: forms.Field,
    *,
    passed: str | Promise = "",
    suggestion: str = "",
    reasons: Sequence[str | Promise] = (),
    reveals: Mapping[str, str] | None = None,
) -> None:
    """Say about `field` what the module's docstring lists; what is not given is cleared."""
    said = {"passed": passed, "suggestion": suggestion, "reasons": reasons, "reveals": reveals or {}}
    for name, value in said.items():
        setattr(field, name, value)


def widget_context(field: forms.BoundField) -> dict[str, Any]:
    """Describe how `field` is to be drawn: `kind`, value, classes, other attributes, and choices as NHS.UK items.

    `kind` is the type of an input, or textarea, select, radios, checkboxes, tick (one box), hidden, other.
    """
    widget = field.field.widget
    attributes = field.build_widget_attrs(widget.attrs, widget)
    drawn: dict[str, Any] = {
        "kind": kind_of(widget),
        "classes": attributes.get("class", ""),
        "disabled": bool(attributes.get("disabled")),
        "rows": attributes.get("rows"),
        "small": bool(attributes.get("small")),
        "inline": bool(attributes.get("inline")),
        "multiple": getattr(widget, "allow_multiple_selected", False),
        "attributes": {
            name: "" if value is True else value
            for name, value in attributes.items()
            if name not in OWN_ATTRIBUTES and value not in (None, False)
        },
    }
    value = field.value()
    if drawn["kind"] in ("select", "radios", "checkboxes"):
        drawn["choices"] = choices_of(field, widget, value)
    elif drawn["kind"] == "tick":
        drawn["checked"] = widget.check_test(value)
        drawn["value"] = "on"
    elif drawn["kind"] not in ("file", "password", "other"):
        drawn["value"] = "" if (shown := widget.format_value(value)) is None else shown
    return drawn


def kind_of(widget: forms.Widget) -> str:
    if isinstance(widget, forms.MultiWidget | forms.SelectDateWidget):
        return "other"
    match widget:
        case forms.CheckboxSelectMultiple():
            return "checkboxes"
        case forms.RadioSelect():
            return "radios"
        case forms.Select():
            return "select"
        case forms.CheckboxInput():
            return "tick"
        case forms.Textarea():
            return "textarea"
    kind = getattr(widget, "input_type", None)
    return kind if kind in TEXT_KINDS else "other"


def choices_of(field: forms.BoundField, widget: Any, value: Any) -> list[dict[str, Any]]:
    """Return the choices as the NHS.UK macros' items; a group of choices becomes its choices."""
    reveals = getattr(field.field, "reveals", {})
    items = []
    for _group, options, _index in widget.optgroups(field.html_name, widget.format_value(value)):
        for option in options:
            label = option["label"]
            item = {
                "value": option["value"],
                "text": label,
                "checked": option["selected"],
                "selected": option["selected"],
                "disabled": bool(option["attrs"].get("disabled")),
            }
            if hint := getattr(label, "hint", ""):
                item["hint"] = {"text": hint}
            if revealed := reveals.get(str(option["value"])):
                item["conditional"] = {"html": field.form[revealed].as_field_group()}
            items.append(item)
    return items


def refused_in(bound: Any) -> list[dict[str, Any]]:
    """Return what the forms refuse, as NHS.UK error summary items: fields in their order, each linked to its input."""
    found = []
    for form in bound:
        if not form or not form.is_bound:
            continue
        found += [{"text": text} for text in form.non_field_errors()]
        for field in form:
            if field.errors:
                found.append({"text": field.errors[0], "href": f"#{field.auto_id or field.html_name}"})
    return found
