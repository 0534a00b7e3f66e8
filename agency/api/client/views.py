"""`/rest/v1/retune_client.py`: the client of just this version of the API, for `curl -O`."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from agency.api import api
from agency.api.client.generated import client_text


@require_safe
@login_not_required
def client_file(request: HttpRequest) -> HttpResponse:
    text = client_text(api.get_openapi_schema(), "Retune")
    headers = {"Content-Disposition": 'attachment; filename="retune_client.py"'}
    return HttpResponse(text, content_type="text/x-python; charset=utf-8", headers=headers)
