"""What people see when something is not there, not allowed or broken: a sentence, and an id to quote."""

from __future__ import annotations

import logging
import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from agency.api.errors import CODES
from agency.api.errors import no_room as told_no_room
from pipelines.artifacts import StoreFull

log = logging.getLogger("agency.errors")
API = "/rest/"


def answer(request: HttpRequest, status: int, title: str, sentence: str, error_id: str = "") -> HttpResponse:
    """A page, or a line beside the card that asked; for programs, the API's one shape."""
    if request.path.startswith(API):
        return JsonResponse({"error": {"code": CODES.get(status, "error"), "message": sentence}}, status=status)
    given = {"status": status, "title": title, "sentence": sentence, "error_id": error_id}
    if request.headers.get("HX-Request") == "true":
        # Beside the page, never inside the card that asked: what is shown there stays, and polling goes on.
        body = render_to_string("errors/_error.html", given)
        return HttpResponse(body, status=status, headers={"HX-Retarget": "#flash", "HX-Reswap": "innerHTML"})
    return HttpResponse(render_to_string("errors/error.html", given), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, 400, _("No such address"), _("This address cannot be read. Open the page from its menu."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, 404, _("Not here"), _("There is no such page, or it is not yours to see."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, 403, _("Not allowed"), _("Your role does not allow this."))


def server_error(request: HttpRequest) -> HttpResponse:
    error_id = request.request_id  # type: ignore[attr-defined]
    log.error("Error id %s at %s", error_id, request.path, exc_info=sys.exc_info())
    return answer(
        request,
        500,
        _("Something broke"),
        _("The fault is ours, and it is in the log. Nothing half-done was kept."),
        error_id,
    )


def no_room(request: HttpRequest, error: StoreFull) -> HttpResponse:
    return answer(request, 507, _("No room"), told_no_room(request, error))


def refused(request: HttpRequest, why: str) -> HttpResponse:
    """What one person alone asked for where it takes two, on a page that has no words of its own for it."""
    return answer(request, 409, _("Two people decide this"), why)
