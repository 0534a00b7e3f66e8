"""All addresses of the product."""

from django.urls import URLPattern, URLResolver, include, path

from agency.api import api
from agency.health.views import healthz, readyz

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("agency.portal.urls")),
    path("", include("agency.reports.urls")),
    path("account/", include("agency.accounts.urls")),
    path("rest/v1/", api.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]

handler403 = "agency.portal.views.errors.forbidden"
handler404 = "agency.portal.views.errors.not_found"
handler500 = "agency.portal.views.errors.server_error"
