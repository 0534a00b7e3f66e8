"""The API's page: every operation, no script, under the strict policy."""

from __future__ import annotations

import re
from html import unescape

from django.test import Client as Browser

from agency.api import api


def test_the_page_names_every_operation_and_needs_no_script(anonymous: Browser, db: None) -> None:
    page = anonymous.get("/rest/v1/docs")
    document = anonymous.get("/rest/v1/openapi.json").json()

    text = unescape(page.content.decode())
    assert page.status_code == 200
    assert "script-src 'self'" in page["Content-Security-Policy"]
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=", text)
    assert len(document["paths"]) >= 12
    for path, item in document["paths"].items():
        assert path in text
        for operation in item.values():
            assert f'id="{operation["operationId"]}"' in text
            assert operation["description"].split("\n")[0] in text
            assert operation["x-key-verbs"] or operation["tags"] == ["machines"]


def test_the_document_says_how_to_authenticate_and_what_an_upload_is() -> None:
    document = api.get_openapi_schema(path_prefix="/rest/v1/")

    upload = document["paths"]["/rest/v1/pipelines/{slug}/examples"]["post"]
    assert "application/x-ndjson" in upload["requestBody"]["content"]
    token = next(field for field in upload["parameters"] if field["name"] == "Idempotency-Key")
    assert (token["in"], token["required"]) == ("header", True)
    schemes = document["components"]["securitySchemes"]
    assert schemes == {name: {"type": "http", "scheme": "bearer"} for name in ("Key", "Token", "AgentToken")}
