"""What a gateway holds in memory before its first request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"numpy", "torch", "llama_cpp", "sklearn", "css_inline", "celery", "ninja"}


def test_a_gateway_loads_no_library_that_it_never_calls() -> None:
    program = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'agency.settings'\n"
        "import django; django.setup()\n"
        f"import agency.gateway.app; print(sorted(set({sorted(HEAVY)}) & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"
