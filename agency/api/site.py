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
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from agency.api import errors
from agency.api.auth import Key
from agency.api.docs import PlainDocs
from agency.api.routers import (
    drills,
    examples,
    feedback,
    freezes,
    hosts,
    ledger,
    pipelines,
    rollbacks,
    rollouts,
    runs,
    versions,
    waivers,
)
from agency.machines import agent_doors as agents
from agency.machines import doors as machines
from tenants import scope

REFUSED = {
    "description": "Refused, with a sentence.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
}
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

    def get_openapi_schema(self, **asked: Any) -> OpenAPISchema:
        """With `x-key-verbs` at each operation (a key needs one of them), and the shape of every refusal."""
        document = super().get_openapi_schema(**asked)
        raw = {item["operationId"]: item for path in document["paths"].values() for item in path.values()}
        for operation in self.operations():
            keys = [auth for auth in operation.auth_callbacks if isinstance(auth, Key)]
            item = raw[self.get_openapi_operation_id(operation)]
            item["x-key-verbs"] = [verb for key in keys for verb in key.verbs]
            item["responses"]["default"] = REFUSED
        return document

    def operations(self) -> list[Operation]:
        views = [view for router in self._get_bound_routers() for view in router.path_operations.values()]
        return [operation for view in views for operation in view.operations]


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
MODULES = (
    pipelines, examples, runs, versions, rollouts, rollbacks, drills, feedback, freezes, waivers, ledger, hosts,
    machines, agents,
)  # fmt: skip
for module in MODULES:
    api.add_router("", module.router)
