"""What browsers are told so that they keep people safe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings as the_settings
from django.test import Client as Browser


def test_under_tls_browsers_are_told_to_stay_there(anonymous: Browser, settings: Any, db: None) -> None:
    assert "Strict-Transport-Security" not in anonymous.get("/login/")
    settings.IS_HTTPS = True
    assert anonymous.get("/login/")["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    "url, cookies",
    [
        ("https://retune.example", ["__Host-session", "__Host-csrf", True]),
        ("http://127.0.0.1:8420", ["sessionid", "csrftoken", False]),
    ],
)
def test_under_tls_cookies_are_bound_to_this_very_host(url: str, cookies: list[Any]) -> None:
    script = (
        "import json; from django.conf import settings as s;"
        "assert s.SESSION_COOKIE_DOMAIN is s.CSRF_COOKIE_DOMAIN is None and s.SESSION_COOKIE_PATH == '/';"
        "print(json.dumps([s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE]))"
    )
    own = os.environ | {"RETUNE_BASE_URL": url, "DJANGO_SETTINGS_MODULE": "agency.settings"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=the_settings.ROOT, env=own, capture_output=True, check=True
    )
    assert json.loads(done.stdout) == cookies


@pytest.mark.parametrize(("url", "scheme"), [("https://retune.example", "https"), ("http://127.0.0.1:8420", "http")])
def test_behind_a_proxy_that_ends_tls_links_are_https(url: str, scheme: str) -> None:
    script = (
        "import django; django.setup();"
        "from django.test import RequestFactory;"
        "asked = RequestFactory(headers={'host': 'localhost', 'x-forwarded-proto': 'https'}).get('/');"
        "print(asked.build_absolute_uri('/'))"
    )
    own = os.environ | {"RETUNE_BASE_URL": url, "DJANGO_SETTINGS_MODULE": "agency.settings"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=the_settings.ROOT, env=own, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{scheme}://localhost/"


@pytest.mark.parametrize("path", ["/login/", "/healthz", "/rest/v1/docs", "/nowhere"])
def test_every_answer_is_told_what_it_may_load_and_who_may_frame_it(anonymous: Browser, path: str, db: None) -> None:
    answer = anonymous.get(path)
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"] and answer["X-Frame-Options"] == "DENY"
    assert (answer["X-Content-Type-Options"], answer["Referrer-Policy"]) == ("nosniff", "same-origin")
