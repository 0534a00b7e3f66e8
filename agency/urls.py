"""All addresses of the product."""

from django.urls import URLPattern, URLResolver, include, path

from agency.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("agency.portal.urls")),
    path("report/", include("agency.reports.urls")),
    path("rest/v1/", api.urls),
]

handler403 = "agency.portal.views.errors.forbidden"
handler404 = "agency.portal.views.errors.not_found"
handler500 = "agency.portal.views.errors.server_error"
