"""The one decorator that swaps page for partial, and the redirect that both kinds of request follow."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.cache import patch_vary_headers

View = Callable[..., HttpResponse]


def target_of(request: HttpRequest) -> str:
    """The id of the element that htmx will fill, "" for a page. htmx 4 sends `tag#id`."""
    if request.headers.get("HX-Request") != "true" or "HX-History-Restore-Request" in request.headers:
        return ""
    return request.headers.get("HX-Target", "").partition("#")[2]


def partials(**names: str) -> Callable[[View], View]:
    """Answer with the partial `names[target]` where htmx asks for that element (`-` in ids as `_`); else the page."""

    def decorate(view: View) -> View:
        @wraps(view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            response = view(request, *args, **kwargs)
            name = names.get(target_of(request).replace("-", "_"))
            if name and isinstance(response, TemplateResponse):
                response.template_name = name
            patch_vary_headers(response, ("HX-Request", "HX-Target"))
            return response

        return answer

    return decorate


def go(request: HttpRequest, url: str) -> HttpResponse:
    """See other: by HTTP for a browser; by header for htmx, which would else swap the next page into a card."""
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url, status=303)
