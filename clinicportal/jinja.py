"""The template environment, and the renderer that draws a Django form field as an NHS.UK component."""

from typing import Any

import jinja2
from django.forms.renderers import DjangoTemplates
from django.template import engines
from django.templatetags.static import static
from django.utils import translation

from clinicportal.addresses import path_to
from clinicportal.dates import clinical_date, clinical_time, iso, plain_date
from clinicportal.drawing import cell_class, drawn_when
from clinicportal.forms import refused_in, widget_context
from clinicportal.texts import gettext, text


def environment(**options: Any) -> jinja2.Environment:
    """Return the environment of every page, as named in TEMPLATES["OPTIONS"]["environment"].

    ChainableUndefined because the NHS.UK macros read optional parameters of parameters that were not given.
    """
    options["undefined"] = jinja2.ChainableUndefined
    options["loader"] = jinja2.ChoiceLoader([options["loader"], jinja2.PackageLoader("nhsuk_frontend_jinja")])
    options.setdefault("extensions", []).extend(["jinja2.ext.i18n", "jinja2.ext.do"])
    options.update(trim_blocks=True, lstrip_blocks=True)
    env = jinja2.Environment(**options)  # noqa: S701 (Django's backend passes autoescape=True)
    env.install_gettext_callables(  # type: ignore[attr-defined]
        gettext=gettext,
        ngettext=translation.ngettext,
        pgettext=translation.pgettext,
        npgettext=translation.npgettext,
        newstyle=True,
    )
    env.globals.update(_=text, static=static, url=path_to, refused_in=refused_in, widget_context=widget_context)
    env.globals.update(drawn_when=drawn_when, cell_class=cell_class)
    env.filters.update(clinical_date=clinical_date, clinical_time=clinical_time, plain_date=plain_date, iso=iso)
    return env


class NHSRenderer(DjangoTemplates):
    """Draws `field.as_field_group()` by components/field.jinja; other form templates stay Django's own."""

    field_template_name = "components/field.jinja"

    def get_template(self, template_name: str) -> Any:
        if template_name.endswith(".jinja"):
            return engines["jinja2"].get_template(template_name)
        return super().get_template(template_name)
