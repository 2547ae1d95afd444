from django.urls import path

from partners import views

app_name = "partners"
urlpatterns = [path("welcome/<str:token>/", views.welcome, name="welcome")]
