from django.urls import include, path

from clinicportal import privacy, views
from partners import account, signin_help, signin_views
from records import emergency_views, lookup_views, review_views, why_views
from records import views as record_views

urlpatterns = [
    path("", views.home, name="home"),
    path("sign-in/", signin_views.sign_in, name="sign-in"),
    path("sign-in/callback/", signin_views.callback, name="sign-in-callback"),
    path("sign-in/help/", signin_help.sign_in_help, name="sign-in-help"),
    path("sign-in/new-phone/", signin_help.new_phone, name="new-phone"),
    path("sign-out/", signin_views.sign_out, name="sign-out"),
    path("sign-out/front-channel/", signin_views.front_channel, name="front-channel-sign-out"),
    path("signed-out/", signin_views.signed_out, name="signed-out"),
    path("stay/", views.stay, name="stay"),
    path("terms/", views.terms, name="terms"),
    path("privacy-notice/", views.notice, {"name": "privacy"}, name="privacy-notice"),
    path("accessibility/", views.notice, {"name": "accessibility"}, name="accessibility"),
    path("privacy/", privacy.trail, name="privacy"),
    path("privacy/alerts/", lookup_views.alerts, name="alerts"),
    path("privacy/alerts/<uuid:pk>/", lookup_views.review, name="alert"),
    path("look-up/", lookup_views.look_up, name="look-up"),
    path("look-up/<uuid:pk>/", lookup_views.opened, name="look-up-open"),
    path("emergency-access/", emergency_views.ask, name="emergency-ask"),
    path("emergency-access/<uuid:pk>/", emergency_views.emergency, name="emergency"),
    path("emergency-access/<uuid:pk>/end/", emergency_views.end, name="emergency-end"),
    path("reviews/", review_views.queue, name="reviews"),
    path("reviews/<uuid:pk>/", review_views.review, name="review"),
    path("reviews/<uuid:pk>/open/", review_views.open_record, name="review-open"),
    path("reviews/<uuid:pk>/lift/", review_views.lift_pause, name="review-lift"),
    path("reports/", record_views.report_queue, name="reports"),
    path("reports/<uuid:pk>/", record_views.close_report, name="report"),
    path("by-hand/", include("records.byhand_urls")),
    path("why/", why_views.ask, name="why"),
    path("why/<uuid:pk>/", why_views.answer, name="why-answer"),
    path("patients/", include("records.urls")),
    path("feeds/", include("records.feed_urls")),
    path("account/", account.account, name="account"),
    path("account/organisation/", account.choose_organisation, name="choose-organisation"),
    path("account/address/", account.new_address, name="new-address"),
    path("", include("partners.urls")),
    path("health/live", views.live, name="live"),
    path("health/ready", views.ready, name="ready"),
]

handler500 = "clinicportal.views.server_error"
