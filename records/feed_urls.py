from django.urls import path

from records import feed_views

app_name = "feeds"

urlpatterns = [
    path("", feed_views.feeds_page, name="feeds"),
    path("moved/", feed_views.moves, name="moves"),
    path("moved/<int:pk>/", feed_views.move, name="move"),
    path("<slug:name>/", feed_views.feed, name="feed"),
    path("<slug:name>/stop/", feed_views.stop, name="stop"),
    path("<slug:name>/resume/", feed_views.ask_to_resume, name="ask-to-resume"),
    path("<slug:name>/resume/confirm/", feed_views.resume, name="resume"),
    path("<slug:name>/seen/", feed_views.seen, name="seen"),
    path("<slug:name>/upload/", feed_views.upload, name="upload"),
    path("<slug:name>/rejected/", feed_views.export, name="export"),
]
