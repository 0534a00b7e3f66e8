"""The child's door: one JSON object per line in, one per line out; ends with its parent.

serve MODEL: {"id", "ask": "render" | "answer" | "embed", ...} and {"id", "ask": "cancel"}; answers {"id", "text"} lines
and a last {"id", "done": {...}} or {"id", "error", "status"}. rewrite SOURCE TARGET TYPE: exit status 0 or 1.
"""

import argparse
import ctypes
import json
import os
import queue
import resource
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

PR_SET_PDEATHSIG = 1
SPARE_BYTES = 8 << 30  # address space beside the model: libraries, thread stacks, the key-value cache
OPEN_FILES = 256


def main() -> int:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    arguments = _arguments()
    _limit(arguments.source if arguments.verb == "rewrite" else Path(arguments.model))
    # llama.cpp writes to descriptor 1 now and then: the protocol gets a descriptor of its own.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if arguments.verb == "rewrite":
        from agency.ollama_host.runner.convert import rewrite

        return 0 if rewrite(arguments.source, arguments.target, arguments.type) else 1
    return serve(arguments, out)


def _limit(model: Path) -> None:
    """Bounds by the size of the file at hand: a crafted header cannot make this process take the machine."""
    size = model.stat().st_size
    limits = {
        resource.RLIMIT_AS: SPARE_BYTES + 4 * size,
        resource.RLIMIT_FSIZE: (64 << 20) + 4 * size,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="runner")
    verbs = parser.add_subparsers(dest="verb", required=True)
    server = verbs.add_parser("serve")
    server.add_argument("model")
    server.add_argument("--num-ctx", type=int, required=True)
    server.add_argument("--threads", type=int, default=1)
    server.add_argument("--adapter")
    rewriter = verbs.add_parser("rewrite")
    rewriter.add_argument("source", type=Path)
    rewriter.add_argument("target", type=Path)
    rewriter.add_argument("type")
    return parser.parse_args()


def serve(arguments: argparse.Namespace, out: TextIO) -> int:
    from agency.ollama_host.runner.decoding import Model

    try:
        model = Model.load(arguments.model, arguments.num_ctx, arguments.threads, arguments.adapter)
    except (ValueError, RuntimeError, OSError) as fault:
        _say(out, {"error": str(fault), "status": 500})
        return 1
    _say(out, {"ready": True, "num_ctx": model.n_ctx})
    asks: queue.Queue[dict[str, Any]] = queue.Queue()
    cancels: dict[int, threading.Event] = {}
    threading.Thread(target=_read, args=(asks, cancels), daemon=True).start()
    while True:
        ask = asks.get()
        _answer(model, ask, cancels.setdefault(ask["id"], threading.Event()), out)
        cancels.pop(ask["id"], None)


def _read(asks: queue.Queue[dict[str, Any]], cancels: dict[int, threading.Event]) -> None:
    for line in sys.stdin:
        ask = json.loads(line)
        if ask["ask"] == "cancel":
            if event := cancels.get(ask["id"]):
                event.set()
        else:
            cancels[ask["id"]] = threading.Event()
            asks.put(ask)
    os._exit(0)  # the parent is gone or has closed the door


def _answer(model: Any, ask: dict[str, Any], cancelled: threading.Event, out: TextIO) -> None:
    from agency.ollama_host.runner.decoding import Result, Unanswerable
    from agency.ollama_host.runner.gotemplate import TemplateFault
    from agency.ollama_host.runner.prompt import RenderFault

    done: dict[str, Any] = {}
    try:
        if ask["ask"] == "render":
            done = {"text": model.render(ask)}
        elif ask["ask"] == "embed":
            done = model.embed(ask["texts"])
        else:
            result = Result()
            for piece in model.answer(ask, result, cancelled):
                _say(out, {"id": ask["id"], "text": piece.text, "logprobs": piece.logprobs})
            done = asdict(result)
    except Unanswerable as fault:
        _say(out, {"id": ask["id"], "error": fault.text, "status": fault.status})
    except (TemplateFault, RenderFault) as fault:
        _say(out, {"id": ask["id"], "error": f"template error: {fault}", "status": 500})
    except Exception as fault:  # the child's door: the parent must hear of every failure
        _say(out, {"id": ask["id"], "error": f"{type(fault).__name__}: {fault}", "status": 500})
    else:
        _say(out, {"id": ask["id"], "done": done})


def _say(out: TextIO, line: dict[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
