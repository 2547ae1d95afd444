"""People's names: FAMILY, Given (Title), whole and without labels [NID-0001..0013, PAB-0049..0053]."""

import re
from dataclasses import dataclass

from clinicportal.texts import gettext as _
from records.display import codes, fhir
from records.display.words import clean

# Earlier in the list is better; "old" and "maiden" are no names to call someone by, and used only if nothing else is.
_USES = ("official", "usual", "", "temp", "anonymous", "nickname", "maiden", "old")


@dataclass(frozen=True)
class Name:
    """A person's name. `shown` is the whole of it; its parts are there to be broken between, never inside."""

    shown: str
    family: str = ""
    given: str = ""
    title: str = ""
    preferred: str = ""
    others: tuple[str, ...] = ()
    recorded: bool = True

    @property
    def order(self) -> tuple[str, str]:
        return (self.family or self.shown).casefold(), self.given.casefold()


def of_patient(patient: fhir.Json) -> Name:
    """The name of a Patient (or any resource with HumanNames), with the others it goes by."""
    held = [name for name in fhir.mappings(patient.get("name")) if _has_words(name)]
    if not held:
        return Name(shown=_("Name not recorded"), recorded=False)
    held.sort(key=_rank)
    main = _read(held[0])
    preferred = next((n for n in held[1:] if _use(n) in ("usual", "nickname") and not _ended(n)), None)
    forms = dict.fromkeys(_read(name).shown for name in held[1:] if name is not preferred)
    return Name(
        shown=main.shown,
        family=main.family,
        given=main.given,
        title=main.title,
        preferred=_preferred(preferred) if preferred else "",
        others=tuple(form for form in forms if form != main.shown),
    )


def _use(name: fhir.Json) -> str:
    return fhir.plain_code(name.get("use"))


def _ended(name: fhir.Json) -> bool:
    return bool(clean(fhir.mapping(name.get("period")).get("end")))


def _rank(name: fhir.Json) -> tuple[bool, bool, int]:
    use = _use(name)
    # An ended name of any use stands behind a current one; one without parts cannot be shown family first.
    return _ended(name), not clean(name.get("family")), _USES.index(use) if use in _USES else 2


def _has_words(name: fhir.Json) -> bool:
    return bool(clean(name.get("family")) or fhir.texts(name.get("given")) or clean(name.get("text")))


def _read(name: fhir.Json) -> Name:
    family, given = clean(name.get("family")), " ".join(fhir.texts(name.get("given")))
    if codes.SYNTHETIC_PART.search(family) and codes.SYNTHETIC_PART.search(given):
        family, given = _without_digits(family), _without_digits(given)
    title = ", ".join(
        part.removesuffix(".") for part in fhir.texts(name.get("prefix")) + fhir.texts(name.get("suffix"))
    )
    if not family and not given:
        return Name(shown=person(name.get("text")))
    family, given = family.upper(), _title_case(given)
    shown = ", ".join(filter(None, (family, given))) + (f" ({title})" if title else "")
    return Name(shown=shown, family=family, given=given, title=title)


def _preferred(name: fhir.Json) -> str:
    given = " ".join(fhir.texts(name.get("given")))
    return _title_case(_without_digits(given)) if given else clean(name.get("text")) or clean(name.get("family"))


def _title_case(given: str) -> str:
    """Capitals where a source wrote all in one case; DeShawn, van and d'Arc stay as someone wrote them."""
    if given not in (given.upper(), given.lower()):
        return given
    return re.sub(r"[^\W\d_]+", lambda word: word[0][:1].upper() + word[0][1:].lower(), given)


def _without_digits(name: str) -> str:
    return codes.SYNTHETIC_PART.sub(r"\1", name)


def person(display: object) -> str:
    """A name in one text, as in Reference.display ("Dr. Alva958 Gleichner915"), fit for show; "" when there is none."""
    return codes.without_synthetic_digits(clean(display))


def of_directory(resource: fhir.Json) -> tuple[str, str]:
    """What a person, role, organisation or place is called, and `Type/id` of whom to ask otherwise."""
    if resource.get("resourceType") == "PractitionerRole":
        whose = [fhir.mapping(resource.get(name)) for name in ("practitioner", "organization")]
        named = next(filter(None, (clean(one.get("display")) for one in whose)), "")
        return named, next(filter(None, map(fhir.reference_key, whose)), "")
    if resource.get("resourceType") in ("Practitioner", "RelatedPerson", "Patient"):
        held = sorted((name for name in fhir.mappings(resource.get("name")) if _has_words(name)), key=_rank)
        return (_in_one_text(held[0]) if held else ""), ""
    return clean(resource.get("name")) or clean(resource.get("description")), ""


def _in_one_text(name: fhir.Json) -> str:
    """As people are named in a Reference: "Dr. Ronald Bone, MD"."""
    parts = [*fhir.texts(name.get("prefix")), *fhir.texts(name.get("given")), clean(name.get("family"))]
    whole = " ".join(filter(None, parts)) if clean(name.get("family")) else clean(name.get("text")) or " ".join(parts)
    return ", ".join(filter(None, (whole.strip(), *fhir.texts(name.get("suffix")))))


def gender(patient: fhir.Json) -> str:
    """The administrative gender in words; "Not known" rather than nothing [PAB-0019, 0043..0046]."""
    return {
        "male": _("Male"),
        "female": _("Female"),
        "other": _("Other"),
    }.get(fhir.plain_code(patient.get("gender")), _("Not known"))
