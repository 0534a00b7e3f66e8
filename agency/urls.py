"""All addresses of the product."""

from django.urls import URLPattern, URLResolver, include, path

from agency.api import api
from agency.api.client.views import client_file
from agency.health.views import healthz, readyz
from agency.telemetry.figures import installation

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("agency.portal.urls")),
    path("", include("agency.reports.urls")),
    path("account/", include("agency.accounts.urls")),
    path("rest/v1/retune_client.py", client_file, name="client-file"),
    path("rest/v1/", api.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics/installation", installation, name="metrics-installation"),
]

handler400 = "agency.portal.views.errors.bad_request"
handler403 = "agency.portal.views.errors.forbidden"
handler404 = "agency.portal.views.errors.not_found"
handler500 = "agency.portal.views.errors.server_error"
