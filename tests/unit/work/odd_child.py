"""A child that behaves as its first argument says."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

kind, spec_path = sys.argv[1:]
spec = json.loads(Path(spec_path).read_text())


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def can_reach() -> bool:
    try:
        socket.create_connection(("127.0.0.1", spec["port"]), timeout=2).close()
    except OSError:
        return False
    return True


match kind:
    case "environment":
        limits = {name: resource.getrlimit(getattr(resource, name))[1] for name in ("RLIMIT_NOFILE", "RLIMIT_FSIZE")}
        say(result={"environment": dict(os.environ), "folder": os.getcwd(), "limits": limits})
    case "network":
        say(result={"reached": can_reach()})
    case "noise":
        print("loading ...\n{broken json\n[1, 2]", flush=True)
        say(progress=0.5, note="half", numbers={"step": 1})
        print("x" * 100_000, flush=True)
        sys.stdout.write(json.dumps({"result": {"fine": True}}))
    case "die":
        print("about to end", file=sys.stderr, flush=True)
        os.kill(os.getpid(), getattr(signal, spec["signal"]))
    case "silent":
        sys.exit(0)
    case "spin":
        while True:
            pass
    case "sleep":
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        say(progress=0.1, note="started", numbers={"child": os.getpid(), "grandchild": grandchild.pid})
        time.sleep(60)
    case "file":
        Path("big").write_bytes(b"x" * 2_000_000)
        say(result={})
