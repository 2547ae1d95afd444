"""From FHIR R4 resources, as parsed JSON, to what a chart page draws.

Pure functions: no database, no request, no clock (today is an argument). Whatever a source sends, they answer
with words ("Not recorded", "Value can't be shown") and never raise. The rules are those of the NHS Common User
Interface guides; an id in brackets in a docstring, such as [PAB-0016], names the one that is followed.
"""
