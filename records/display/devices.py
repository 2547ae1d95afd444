"""Devices in or on the patient, and studies that took pictures."""

from datetime import UTC, date, tzinfo

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy
from records.display import codes, dates, fhir
from records.display.entry import Entry, Words, facts, lines, reasons, standing, table
from records.display.marks import Kind
from records.display.words import clean

DEVICE: Words = {
    "active": (gettext_lazy("In use"), None),
    "inactive": (gettext_lazy("No longer in use"), Kind.STOPPED),
    # Most sources send no status of a device (US Core does not ask for one).
    "": (gettext_lazy("Not recorded"), None),
}
USE: Words = {
    "active": (gettext_lazy("In use"), None),
    "completed": (gettext_lazy("No longer in use"), Kind.STOPPED),
    "intended": (gettext_lazy("Intended"), Kind.PLANNED),
    "stopped": (gettext_lazy("Stopped"), Kind.STOPPED),
    "on-hold": (gettext_lazy("On hold"), Kind.HELD),
}
STUDY: Words = {
    "registered": (gettext_lazy("Awaited"), Kind.REGISTERED),
    "available": (gettext_lazy("Available"), None),
    "cancelled": (gettext_lazy("Cancelled"), Kind.CANCELLED),
}


def device(resource: fhir.Json, _today: date, zone: tzinfo = UTC) -> Entry:
    """When it was made says nothing of the patient: the date of a device is that of its use."""
    status, marks, stands = standing(resource, DEVICE)
    kind = codes.text_of(resource.get("type"))
    called = [codes.text_of({"text": one.get("name")}) for one in fhir.mappings(resource.get("deviceName"))]
    named = [name for name in dict.fromkeys(called) if name != kind]  # many sources repeat the type there
    carriers = fhir.mappings(resource.get("udiCarrier"))
    udi = next(filter(None, (clean(one.get("carrierHRF")) for one in carriers)), "")
    identifier = next(filter(None, (clean(one.get("deviceIdentifier")) for one in carriers)), "")
    maker, model = clean(resource.get("manufacturer")), clean(resource.get("modelNumber"))
    serial, lot = clean(resource.get("serialNumber")), clean(resource.get("lotNumber"))
    safety = codes.joined(list(codes.texts_of(resource.get("safety"))))
    numbered = [_("Serial number %(number)s") % {"number": serial}] if serial else []
    return Entry(
        _("Device"),
        kind or next(filter(None, named), "") or _("Device not named"),
        status,
        dates.words(_("Not recorded")),
        lines=lines(", ".join(filter(None, (*named, maker, model))), *numbered, safety),
        by=codes.names_of(resource.get("owner")),
        where=codes.names_of(resource.get("location")),
        marks=marks,
        notes=codes.notes(resource),
        stands=stands,
        facts=facts(
            (_("Name"), ", ".join(filter(None, named))),
            (_("Maker"), maker),
            (_("Model"), model),
            (_("Serial number"), serial),
            (_("Lot"), lot),
            (_("Device identifier"), identifier),
            (_("UDI"), udi),
            (_("Made"), dates.read(resource.get("manufactureDate"), zone)),
            (_("Expires"), dates.read(resource.get("expirationDate"), zone)),
            (_("Safety"), safety),
        ),
    )


def use(resource: fhir.Json, _today: date, zone: tzinfo = UTC) -> Entry:
    status, marks, stands = standing(resource, USE)
    timed = dates.occurrence(resource, "timing", zone)
    recorded = dates.read(resource.get("recordedOn"), zone)
    _kind, period = fhir.choice(resource, "timing")
    site = codes.text_of(resource.get("bodySite"))
    why = reasons(resource)
    return Entry(
        _("Use of a device"),
        codes.referred(resource.get("device")) or _("Device not named"),
        status,
        timed if timed.known else recorded,
        lines=lines(site, _("For %(reason)s") % {"reason": why} if why else ""),
        by=codes.names_of(resource.get("source")),
        marks=marks,
        notes=codes.notes(resource),
        stands=stands,
        facts=facts(
            (_("Where on the body"), site),
            (_("For"), why),
            (_("Until"), dates.read(fhir.mapping(period).get("end"), zone)),
            (_("Recorded"), recorded),
        ),
        about=fhir.reference_key(resource.get("device")),
    )


def study(resource: fhir.Json, _today: date, zone: tzinfo = UTC) -> Entry:
    status, marks, stands = standing(resource, STUDY)
    ways = codes.joined(
        list(dict.fromkeys(filter(None, map(codes.coding_text, fhir.mappings(resource.get("modality"))))))
    )
    done = codes.joined(list(codes.texts_of(resource.get("procedureCode"))))
    series = fhir.mappings(resource.get("series"))
    ways = ways or codes.joined(
        list(dict.fromkeys(filter(None, (codes.coding_text(one.get("modality")) for one in series))))
    )
    sites = codes.joined(list(dict.fromkeys(filter(None, map(_site, series)))))
    pictures = fhir.whole(resource.get("numberOfInstances"))
    why = reasons(resource)
    rows = [
        (
            str(fhir.whole(one.get("number")) or place),
            clean(one.get("description")) or codes.coding_text(one.get("modality")),
            _site(one),
            str(fhir.whole(one.get("numberOfInstances")) or ""),
        )
        for place, one in enumerate(series, start=1)
    ]
    return Entry(
        _("Imaging study"),
        clean(resource.get("description")) or done or ways or _("Imaging study"),
        status,
        dates.read(resource.get("started"), zone),
        lines=lines(", ".join(filter(None, (ways, sites))), _("For %(reason)s") % {"reason": why} if why else ""),
        by=codes.names_of(resource.get("interpreter")) or codes.names_of(resource.get("referrer")),
        where=codes.names_of(resource.get("location")),
        marks=marks,
        notes=codes.notes(resource),
        stands=stands,
        facts=facts(
            (_("Procedure"), done),
            (_("Kind of picture"), ways),
            (_("Where on the body"), sites),
            (_("For"), why),
            (_("Asked for by"), codes.names_of(resource.get("referrer"))),
            (_("Read by"), codes.names_of(resource.get("interpreter"))),
            (
                _("Pictures"),
                _("%(count)s, kept at the source") % {"count": pictures} if pictures else _("Kept at the source"),
            ),
        ),
        tables=table(_("Series"), (_("Number"), _("Series"), _("Where on the body"), _("Pictures")), rows),
    )


def _site(series: fhir.Json) -> str:
    return " ".join(filter(None, map(codes.coding_text, (series.get("bodySite"), series.get("laterality")))))
