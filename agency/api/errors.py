"""Every refusal in one shape: {"error": {"code", "message"}}."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from pipelines.actions import ActionRefused
from pipelines.artifacts import StoreFull

log = logging.getLogger(__name__)

CODES = {
    400: "bad_request",
    401: "unauthorised",
    403: "forbidden",
    404: "not_found",
    409: "refused",
    410: "gone",
    413: "too_large",
    415: "unsupported_media_type",
    416: "out_of_range",
    422: "invalid",
    426: "too_old",
    500: "internal",
    507: "no_room",
}


def register(api: NinjaAPI) -> None:
    """Makes the API answer each kind of exception."""

    def answer(request: HttpRequest, status: int, message: str) -> HttpResponse:
        body = {"error": {"code": CODES.get(status, "error"), "message": message}}
        return api.create_response(request, body, status=status)

    @api.exception_handler(AuthenticationError)
    def no_key(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        response = answer(request, 401, _("Send a valid key: Authorization: Bearer rk_..."))
        response["WWW-Authenticate"] = "Bearer"
        return response

    @api.exception_handler(HttpError)
    def known(request: HttpRequest, error: HttpError) -> HttpResponse:
        return answer(request, error.status_code, str(error))

    @api.exception_handler(Http404)
    def missing(request: HttpRequest, error: Http404) -> HttpResponse:
        return answer(request, 404, _("There is no such thing here."))

    @api.exception_handler(ActionRefused)
    def refused(request: HttpRequest, error: ActionRefused) -> HttpResponse:
        return answer(request, 409, str(error))

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        return answer(request, 422, "; ".join(map(_sentence, error.errors)))

    _register_faults(api, answer)


def _register_faults(api: NinjaAPI, answer: Callable[[HttpRequest, int, str], HttpResponse]) -> None:
    """What is no fault of who asked."""

    @api.exception_handler(StoreFull)
    def full(request: HttpRequest, error: StoreFull) -> HttpResponse:
        return answer(request, 507, no_room(request, error))

    @api.exception_handler(Exception)
    def broken(request: HttpRequest, error: Exception) -> HttpResponse:
        number = request.request_id  # type: ignore[attr-defined]
        log.error("error %s at %s %s", number, request.method, request.path, exc_info=error)
        return answer(request, 500, _("Something went wrong here. Quote error %(id)s.") % {"id": number})


def no_room(request: HttpRequest, error: StoreFull) -> str:
    """The sentence for whoever asked. Which folder is full is for the log alone."""
    log.error("%s %s: %s", request.method, request.path, error)
    return _("The server's disk has no room for this. Whoever runs the server frees some; then do it again.")


def _sentence(problem: dict[str, object]) -> str:
    """Where and what, without the value: it may be long or secret."""
    where = problem.get("loc") or ()
    path = ".".join(str(part) for part in where[1:]) if isinstance(where, tuple) else str(where)
    return f"{path}: {problem.get('msg', '')}"
