from django.urls import path

from records import views

app_name = "records"

urlpatterns = [
    path("", views.patients, name="patients"),
    path("filters/", views.keep_filter, name="filters"),
    path("<uuid:pk>/", views.summary, name="summary"),
    path("<uuid:pk>/timeline/", views.timeline, name="timeline"),
    path("<uuid:pk>/results/", views.results, name="results"),
    path("<uuid:pk>/vitals/", views.results, {"here": "vitals"}, name="vitals"),
    path("<uuid:pk>/results/tests/", views.every_test, name="results-tests"),
    path("<uuid:pk>/vitals/tests/", views.every_test, {"here": "vitals"}, name="vitals-tests"),
    path("<uuid:pk>/care/", views.care, name="care"),
    path("<uuid:pk>/medicines/", views.medicines, name="medicines"),
    path("<uuid:pk>/problems/", views.problems, name="problems"),
    path("<uuid:pk>/allergies/", views.allergies, name="allergies"),
    path("<uuid:pk>/immunisations/", views.section, {"here": "immunisations"}, name="immunisations"),
    path("<uuid:pk>/procedures/", views.section, {"here": "procedures"}, name="procedures"),
    path("<uuid:pk>/encounters/", views.section, {"here": "encounters"}, name="encounters"),
    path("<uuid:pk>/documents/", views.section, {"here": "documents"}, name="documents"),
    path("<uuid:pk>/documents/<uuid:document>/", views.document, name="document"),
    path("<uuid:pk>/documents/<uuid:document>/file/<int:place>/", views.file, name="file"),
    path("<uuid:pk>/results/<uuid:document>/", views.document, {"here": "results"}, name="result-report"),
    path("<uuid:pk>/results/<uuid:document>/file/<int:place>/", views.file, {"here": "results"}, name="result-file"),
    path("<uuid:pk>/all/<slug:name>/", views.further, name="further"),
    path("<uuid:pk>/<slug:here>/entry/<uuid:entry>/", views.entry, name="entry"),
    path("<uuid:pk>/print/", views.printed, name="print"),
    path("<uuid:pk>/take/", views.taken, name="take"),
    path("<uuid:pk>/report/", views.report, name="report"),
    path("<uuid:pk>/access/", views.access, name="access"),
]
