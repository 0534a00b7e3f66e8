"""The API as one object: its routers, its errors, its page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.operation import Operation

from agency.api import errors
from agency.api.docs import PlainDocs
from agency.api.routers import examples, feedback, pipelines, rollbacks, runs, versions
from tenants import scope

View = Callable[..., HttpResponseBase]


class KeyedAPI(NinjaAPI):
    """Keys open it and nothing else: no session's login is asked for, and no session's scope reaches an operation.

    That is also why no CSRF token is needed: a browser sends cookies by itself, never an Authorization header.
    """

    @property
    def urls(self) -> tuple[list[Any], str, str]:
        patterns, app_name, namespace = super().urls
        for pattern in patterns:
            if isinstance(pattern, URLPattern):
                pattern.callback = keyed(pattern.callback)
        return patterns, app_name, namespace

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__


def keyed(view: View) -> View:
    @wraps(view, updated=())
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with scope.entered(None):
            return view(request, *args, **kwargs)

    return csrf_exempt(login_not_required(answer))


api = KeyedAPI(
    title="Retune",
    version="1",
    urls_namespace="rest",
    description="Examples and feedback in; runs, versions and rollbacks out. A key is one client's and carries verbs.",
    docs=PlainDocs(),
)
errors.register(api)
for module in (pipelines, examples, runs, versions, rollbacks, feedback):
    api.add_router("", module.router)
