"""`python -m bench.agent_crowd`: many agents in one process, all but their gateways; says when each has new routes.

Standard input: a line of JSON with `url`, `folder` and `tokens`. Standard output: a line for each news, its agent and
the time.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

OLLAMA = "http://127.0.0.1:9"  # Nobody listens there: the host's own answer is not what is measured.
SPREAD_S = 0.02


def main() -> None:
    from django.conf import settings

    settings.configure(OWN_REDACTIONS={}, DATABASES={})
    logging.disable(logging.CRITICAL)
    from agency.agent.program import PAUSE_S
    from agency.agent.serving import Agent, Terms

    told: dict[str, Any] = json.loads(sys.stdin.readline())
    writing = threading.Lock()

    def say(number: int) -> None:
        with writing:
            print(json.dumps([number, time.time()]), flush=True)

    for number, token in enumerate(told["tokens"]):
        folder = Path(told["folder"]) / str(number)
        agent = Agent(Terms(told["url"], told["url"], OLLAMA, "127.0.0.1", 1, folder), token, PAUSE_S)
        news = agent.mirror.on_news

        def heard(number: int = number, news: Any = news) -> None:
            say(number)
            news()

        agent.mirror.on_news = heard
        agent.begin()
        agent.mirror.start()
        time.sleep(SPREAD_S)
    sys.stdin.read()  # Until the bench is through.
