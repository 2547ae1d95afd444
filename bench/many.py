"""A large set of records, quickly: the demo's patients imported once, then copied in the database under other ids.

Built once for each size and kept in `.bench/`; migrations that came since are applied to it. Runs as the worker's role.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from django.db import connection
from django.utils import timezone

from clinicportal.models import Terms, TermsAcceptance, User
from records import tokens
from records.demo import SOURCES, write_ndjson
from records.models import Agreement, Caseload, Facility, Grant, Organisation, Resource, Section, Source

ROOT = Path(__file__).parent.parent
BLOCK = 2_000
"""Patients that one statement copies."""
LARGE, OVERLAPPING = 2_600, 10
"""Patients of the guest with many; caseloads of the guest with several, of which neighbours share half."""

FAMILIES = "Abara Bello Castro Dufour Eriksen Fontaine Gupta Haddad Ivanova Jansen Kowalski Lindqvist Müller Nakamura"
FAMILIES += " Okafor Petrov Quispe Rossi Söderberg Tanaka Usman Várady Weiss Ximénez Yılmaz Zhou O'Neill Nguyễn Łukasik"
GIVEN = "Ada Bruno Chloé Dmitri Elif Farid Grace Hana Ines Jonas Kofi Lena Mira Noah Olga Paulo Rana Sven Tara Umar"

# What each copy takes of a template: all that must be read whole, and the newest of the rest, 50 rows in the middle.
TEMPLATES = """
CREATE TEMPORARY TABLE bench_template AS
SELECT r.*, dense_rank() OVER (ORDER BY s.name, p.fhir_id) - 1 AS person,
       row_number() OVER (PARTITION BY r.patient_id, r.section, r.type ORDER BY r.time DESC NULLS LAST) AS place
FROM records_resource r JOIN records_patient p ON p.id = r.patient_id JOIN records_source s ON s.id = p.source_id
WHERE p.replaced_by_id IS NULL;
DELETE FROM bench_template WHERE place > CASE
    WHEN section IN ('problems', 'medicines', 'allergies') OR type = 'Patient' THEN 1000
    WHEN section = 'results' AND type = 'Observation' THEN 11 WHEN section = 'vitals' THEN 7
    WHEN section IN ('encounters', 'immunisations') THEN 5 ELSE 3 END;
CREATE INDEX ON bench_template (person);
ANALYZE bench_template;
"""

PATIENTS = """
INSERT INTO records_patient (id, source_id, fhir_id, active, family, given, title, sort_name, birth_date, gender,
    deceased, deceased_date, mrn, classes, name_key, found_by)
SELECT md5('patient' || n)::uuid, %(source)s, 'copy-' || n, true, (%(family)s::text[])[k], (%(given)s::text[])[k], '',
       (%(sort_name)s::text[])[k] || ' ' || n, born, (ARRAY['female', 'male'])[1 + n %% 2], false, '', number, '{}',
       (%(name_key)s::text[])[k], concat(' ', born, ' ', number, ' ', (%(sort_name)s::text[])[k])
FROM generate_series(%(first)s::int, %(last)s::int) n,
     LATERAL (SELECT 1 + (n * 31 + n / 7) %% cardinality(%(family)s::text[]) k, lpad(n::text, 10, '0') number,
                     (date '1930-01-01' + (n * 7919 %% 33000))::text born)
"""

TOKENS = """
INSERT INTO records_patienttoken (patient_id, token)
SELECT p.id, t FROM records_patient p, LATERAL unnest(string_to_array(ltrim(p.found_by), ' ')) t
WHERE p.source_id = %(source)s ON CONFLICT DO NOTHING
"""


def copies(**changed: str) -> str:
    """The head of an INSERT of resources: each column as the template `t` has it, but for those `changed`, in SQL."""
    columns = [str(field.column) for field in Resource._meta.concrete_fields]
    values = ", ".join(changed.get(column, f"t.{column}") for column in columns)
    return f"INSERT INTO records_resource ({', '.join(columns)}) SELECT {values}"


NEW = {
    "source_id": "%(source)s",
    "facility_id": "%(facility)s",
    "encounter_id": "NULL",
    "holds": "'{}'",
    "settled": "true",
    "number": "1",
    "received_at": "now() - interval '40 days'",
    "tombstoned_at": "NULL",
}
COPIES = f"""
{
    copies(
        id="md5(t.id::text || n)::uuid",
        fhir_id="t.fhir_id || '-' || n",
        patient_id="md5('patient' || n)::uuid",
        time="t.time - (n %% 400) * interval '1 minute'",
        **NEW,
    )
}
FROM generate_series(%(first)s::int, %(last)s::int) n
JOIN bench_template t ON t.person = n %% (SELECT max(person) + 1 FROM bench_template)
"""

# One observation of the template many times over, an hour apart.
LONG = f"""
{
    copies(
        id="md5(%(patient)s || n)::uuid",
        fhir_id="%(patient)s || '-' || n",
        patient_id="%(patient)s::uuid",
        time="now() - (n + 1) * interval '1 hour'",
        classes="'{}'",
        own_classes="'{}'",
        version_id="''",
        **NEW,
    )
}
FROM generate_series(1, %(number)s::int) n
JOIN (SELECT *, row_number() OVER (ORDER BY code, id) - 1 AS one FROM (
        SELECT DISTINCT ON (code) * FROM bench_template WHERE section = 'results' AND type = 'Observation'
        AND classes = '{{}}' ORDER BY code, id LIMIT 12) x) t ON t.one = n %% 12
"""

MEMBERS = """
INSERT INTO records_membership (id, caseload_id, patient_id, basis, evidence, starts_at)
SELECT gen_random_uuid(), %(caseload)s, md5('patient' || n)::uuid, 'registration', '', now() - interval '90 days'
FROM generate_series(%(first)s::int, %(last)s::int) n
"""


def build(patients: int) -> None:
    """Fill an empty, migrated database: `patients` with records, and as many more without as the guests need."""
    start = time.monotonic()
    facility, _ = Facility.objects.get_or_create(name="Bench site")
    source = Source.objects.create(name="bench", facility=facility, imported_up_to=timezone.now())
    import_templates()
    facts = {"source": source.pk, "facility": facility.pk}
    everybody = max(patients, LARGE + 400)
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute(TEMPLATES)
        cursor.execute(PATIENTS, {**facts, **people(), "first": 0, "last": everybody - 1})
        cursor.execute(TOKENS, facts)
        for first in range(0, patients, BLOCK):
            cursor.execute(COPIES, {**facts, "first": first, "last": min(first + BLOCK, patients) - 1})
            if first % (10 * BLOCK) == 0:
                print(f"  {first:,} of {patients:,} patients, {time.monotonic() - start:.0f} s", file=sys.stderr)
        cursor.execute("SELECT count(*) FROM records_resource WHERE source_id = %s", [source.pk])
        [(copied,)] = cursor.fetchall()
    guests(facility, everybody)
    long_records(facts, facility)
    print(f"{everybody:,} patients, {copied:,} resources in {time.monotonic() - start:.0f} s", file=sys.stderr)


def people() -> dict[str, list[str]]:
    """Columns of every family name with every given name, folded as the importer does it."""
    pairs = [(family, given) for family in FAMILIES.split() for given in GIVEN.split()]
    return {
        "family": [family for family, _given in pairs],
        "given": [given for _family, given in pairs],
        "sort_name": [" ".join(tokens.words(" ".join(pair))) for pair in pairs],
        "name_key": [tokens.name_key(*pair) for pair in pairs],
    }


def import_templates() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_ndjson(Path(folder), patients=48, seed=1, today=timezone.localdate())
        for source in SOURCES:
            command = [sys.executable, "manage.py", "import_fhir", "--source", f"template-{source.name}"]
            command += ["--facility", f"Template {source.name}", str(Path(folder) / source.name)]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def guests(facility: Facility, everybody: int) -> None:
    """A guest with 1 patient, one with 2,600, one with ten caseloads that overlap; the rest belong to others."""
    one = organisation("One", facility)
    fill(one, facility, "one", 0, 0)
    many = organisation("Many", facility)
    fill(many, facility, "many", 0, LARGE - 1)
    several = organisation("Several", facility)
    step = LARGE // (2 * OVERLAPPING)
    for number in range(OVERLAPPING):
        fill(several, facility, f"shared {number}", number * step, (number + 2) * step - 1)
    for guest in (one, many, several):
        reader(guest)
    others = [organisation(f"Other {number}", facility) for number in range(20)]
    for number, first in enumerate(range(0, everybody, 1_000)):
        fill(others[number % 20], facility, f"list {number}", first, min(first + 1_000, everybody) - 1)


def organisation(name: str, facility: Facility) -> Organisation:
    found = Organisation.objects.create(name=f"Bench {name}")
    now = timezone.now()
    agreement = Agreement.objects.create(
        organisation=found,
        sections=Section.values,
        starts_at=now - timedelta(days=1),
        ends_at=now + timedelta(days=900),
    )
    agreement.facilities.set([facility])
    return found


def fill(owner: Organisation, facility: Facility, name: str, first: int, last: int) -> Caseload:
    caseload = Caseload.objects.create(organisation=owner, facility=facility, name=name)
    with connection.cursor() as cursor:
        cursor.execute(MEMBERS, {"caseload": caseload.pk, "first": first, "last": last})
    return caseload


def reader(owner: Organisation) -> User:
    """Somebody with a grant of all sections for each caseload of `owner`."""
    user = User.objects.create(display_name=f"{owner.name} reader")
    now = timezone.now()
    for caseload in owner.caseloads.all():
        Grant.objects.create(
            guest=user, organisation=owner, caseload=caseload, sections=Section.values, given_by="bench",
            starts_at=now - timedelta(days=1), ends_at=now + timedelta(days=900),
        )  # fmt: skip
    return user


def accept_terms() -> None:
    """As web, which writes acceptances: the worker may not."""
    for user in User.objects.filter(display_name__startswith="Bench "):
        TermsAcceptance.objects.get_or_create(user=user, terms=Terms.in_force().get())


LONG_RECORDS = (100, 10_000)


def long_records(facts: dict, facility: Facility) -> None:
    """Two patients of the guest with many: one with 100 observations, one with 10,000."""
    with connection.cursor() as cursor:
        for place, number in enumerate(LONG_RECORDS, start=LARGE - 3):
            cursor.execute("SELECT md5('patient' || %s)::uuid", [place])
            [(patient,)] = cursor.fetchall()
            cursor.execute("DELETE FROM records_resource WHERE patient_id = %s AND type <> 'Patient'", [patient])
            cursor.execute(LONG, {**facts, "patient": str(patient), "number": number})
