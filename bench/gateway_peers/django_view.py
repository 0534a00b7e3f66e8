"""`uvicorn bench.gateway_peers.django_view:application`: a proxy as a Django async view with aiohttp.

It rewrites the model's name, chooses between two by a hash and passes the answer on; no keys, no meter, no fallback.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import aiohttp
import orjson
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="bench", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[], DATABASES={}, USE_TZ=True
)
UPSTREAM = os.environ["UPSTREAM"]
_session: list[aiohttp.ClientSession] = []


def session() -> aiohttp.ClientSession:
    if not _session:
        _session.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False))
    return _session[0]


async def chat(request: HttpRequest) -> HttpResponse:
    document: dict[str, Any] = orjson.loads(request.body)
    key = hashlib.sha256(orjson.dumps(document["messages"])).digest()
    document["model"] = "candidate" if key[0] < 13 else "production"
    async with session().post(UPSTREAM + request.path, data=orjson.dumps(document)) as answer:
        return HttpResponse(await answer.read(), status=answer.status, content_type=answer.headers["Content-Type"])


urlpatterns = [path("api/chat", chat)]
application = get_asgi_application()
