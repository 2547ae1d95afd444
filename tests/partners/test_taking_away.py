"""Taking a record away needs a fresh proof, although records/ knows nothing of sign-in."""

from __future__ import annotations

from records.models import Section
from tests import factories as make
from tests.partners.pages import text
from tests.partners.test_identity_checks import SPONSOR, sponsor_of_northfield
from tests.partners.test_stepup import events
from tests.partners.visitor import Visitor, leaves_for

__all__ = ["sponsor_of_northfield"]


def test_a_guest_confirms_before_they_take_a_record_away(
    entrance, sponsor_of_northfield, organisation, facility, caseload, patient
):
    """The middleware brings the person here and back to the page."""
    make.make_agreement(organisation, facility, may_export=True)
    make.make_grant(sponsor_of_northfield, caseload)
    make.make_resource(patient, Section.DEMOGRAPHICS, "Patient")
    visitor = Visitor(entrance)
    assert visitor.signs_in(SPONSOR).status_code == 302
    take, printed = f"/patients/{patient.pk}/take/", f"/patients/{patient.pk}/print/"

    answer = visitor.client.post(take)
    assert "Confirm that it is you" in text(answer)
    assert not events("record-taken")
    back = visitor.comes_back(visitor.passes(leaves_for(answer), SPONSOR))
    assert (back.status_code, back["Location"]) == (302, printed)
    assert "Press the button once more" in text(visitor.client.get(printed))
    assert visitor.client.post(take).status_code == 200
    assert len(events("record-taken")) == 1
