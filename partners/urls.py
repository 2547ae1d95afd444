from django.urls import path

from partners.views import approvals, incidents, register, sponsors, welcome

app_name = "partners"
urlpatterns = [
    path("people/", sponsors.people, name="people"),
    path("people/add/", sponsors.add, name="add"),
    path("requests/", sponsors.requests, name="requests"),
    path("requests/<int:pk>/", sponsors.status, name="request"),
    path("requests/<int:pk>/answer/", sponsors.answer, name="answer"),
    path("requests/<int:pk>/withdraw/", sponsors.withdraw, name="withdraw"),
    path("requests/<int:pk>/send-again/", sponsors.send_again, name="send-again"),
    path("requests/<int:pk>/ways-in/", sponsors.ways_in, name="ways-in"),
    path("requests/<int:pk>/start-again/", sponsors.start_again, name="start-again"),
    path("requests/<int:pk>/address/", sponsors.address, name="address"),
    path("approvals/", approvals.queue, name="approvals"),
    path("approvals/<int:pk>/", approvals.decision, name="decision"),
    path("approvals/<int:pk>/approve/", approvals.approve, name="approve"),
    path("approvals/<int:pk>/question/", approvals.question, name="question"),
    path("approvals/<int:pk>/decline/", approvals.decline, name="decline"),
    path("approvals/<int:pk>/end/", approvals.end, name="end"),
    path("approvals/<int:pk>/resume/", approvals.resume, name="resume"),
    path("approvals/<int:pk>/confirm/", approvals.confirm, name="confirm"),
    path("approvals/<int:pk>/not-confirmed/", approvals.not_confirmed, name="not-confirmed"),
    path("approvals/<int:pk>/start-again/", approvals.start_again, name="restart"),
    path("approvals/<int:pk>/let-in/", approvals.let_in, name="let-in"),
    path("organisations/", register.organisations, name="organisations"),
    path("organisations/<uuid:pk>/", register.organisation, name="organisation"),
    path("incidents/", incidents.incidents, name="incidents"),
    path("incidents/<int:pk>/close/", incidents.close, name="close-incident"),
    path("welcome/again/", welcome.start_again, name="again"),
    path("welcome/back/", welcome.back, name="back"),
    path("welcome/<str:token>/", welcome.welcome, name="welcome"),
    path("welcome/<str:token>/continue/", welcome.go, name="go"),
    path("welcome/<str:token>/not-for-me/", welcome.not_for_me, name="not-for-me"),
    path("welcome/<str:token>/new-link/", welcome.send_again, name="new-link"),
]
