"""What a child process may see and use: allow-listed environment, limits, no network, death with its parent."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import runpy
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PASSED_ON = ("PATH", "LANG", "VIRTUAL_ENV", "RETUNE_CONVERTER_DIR", "CUDA_VISIBLE_DEVICES")
ROOT = Path(__file__).resolve().parents[3]

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Limits:
    """Limits of one child; None leaves a resource as it is. `network` is off unless declared.

    address_space_bytes bounds mapped memory, not resident: torch maps several times what it touches.
    """

    address_space_bytes: int | None = None
    cpu_s: int | None = None
    file_bytes: int | None = None
    open_files: int | None = 1024
    threads: int = 2
    network: bool = False


def environment(scratch: Path, outer: Mapping[str, str], *, threads: int) -> dict[str, str]:
    """The child's environment: a few names passed on, the rest set here, no database, Redis or secret."""
    passed = {name: outer[name] for name in PASSED_ON if name in outer}
    if "RETUNE_CONVERTER_DIR" in passed:  # the child works in its scratch folder
        passed["RETUNE_CONVERTER_DIR"] = str(Path(passed["RETUNE_CONVERTER_DIR"]).resolve())
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        **passed,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        # Spinning OpenMP threads cost 14x on a busy machine; both must be set before torch is imported.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "OMP_NUM_THREADS": str(threads),
        "GGML_NO_BACKTRACE": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def enter(arguments: list[str]) -> None:
    """Confine this process as the first argument says (Limits and `parent`), then become the module or script after it.

    Done here, after exec, and not between fork and exec: the parent has threads, and Python code there can deadlock.
    """
    wanted = json.loads(arguments[0])
    parent = wanted.pop("parent")
    limits = Limits(**wanted)
    _die_with(parent)
    _apply(limits)
    if not limits.network:
        _leave_network()
    sys.argv = arguments[1:]
    if arguments[1].endswith(".py"):
        sys.path[0] = str(Path(arguments[1]).parent)
        runpy.run_path(arguments[1], run_name="__main__")
    else:
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _apply(limits: Limits) -> None:
    wanted = {
        resource.RLIMIT_AS: limits.address_space_bytes,
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        if value is not None:
            _lower(kind, value)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    # Soft one second under hard for processor time: SIGXCPU, which has a name, comes before SIGKILL, which has none.
    soft = max(ceiling - 1, 1) if kind == resource.RLIMIT_CPU else ceiling
    resource.setrlimit(kind, (soft, ceiling))


def _leave_network() -> None:
    """Move into an empty network namespace; kernels that refuse it leave a line in the log."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET) == 0:  # root: no user namespace, which would cost it its rights on other users' files
        return
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        print(f"The network stays reachable: {os.strerror(ctypes.get_errno())}.", file=sys.stderr)
        return
    Path("/proc/self/setgroups").write_text("deny")
    # Without a map of our own id every new file would be refused (EOVERFLOW).
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
