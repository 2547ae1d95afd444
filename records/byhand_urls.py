from django.urls import path

from records import byhand_views

app_name = "by-hand"

urlpatterns = [
    path("", byhand_views.index, name="index"),
    path("<uuid:pk>/", byhand_views.entry, name="entry"),
    path("<slug:kind>/", byhand_views.add, name="add"),
]
