"""The processes of the bench: upstream, gateways, peers; each on a free port, ended with the bench."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;
{modules}
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_buffer_size 64k; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream host {{ server 127.0.0.1:{upstream}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      rewrite_by_lua_block {{
        local cjson = require "cjson.safe"
        ngx.req.read_body()
        local document = cjson.decode(ngx.req.get_body_data())
        local key = ngx.crc32_short(cjson.encode(document.messages))
        document.model = key % 100 < 5 and "candidate" or "production"
        ngx.req.set_body_data(cjson.encode(document))
      }}
      proxy_pass http://host; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


class NotThere(RuntimeError):
    """A peer that this machine does not have; the message says what to do."""


@contextmanager
def process(command: Sequence[str], port: int, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A child that listens on `port`; asked to end, then killed."""
    child = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | more, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_port(child, port)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_for_port(child: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if child.poll() is not None:
            raise NotThere(f"{child.args!r} ended with {child.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise NotThere(f"nothing listens on port {port} after {START_S:g} s")


@contextmanager
def upstream() -> Iterator[int]:
    port = free_port()
    with process([sys.executable, "-m", "bench.gateway_peers.upstream", str(port)], port):
        yield port


@contextmanager
def gateway(**more: str) -> Iterator[tuple[int, int]]:
    """(port, process id) of a gateway alone, on the database of this process's environment."""
    port = free_port()
    with process([sys.executable, "-m", "agency.gateway", "--port", str(port)], port, **more) as child:
        yield port, child.pid


@contextmanager
def django_view(upstream_port: int) -> Iterator[int]:
    port = free_port()
    uvicorn = [sys.executable, "-m", "uvicorn", "bench.gateway_peers.django_view:application", "--no-access-log"]
    with process([*uvicorn, "--port", str(port)], port, UPSTREAM=f"http://127.0.0.1:{upstream_port}"):
        yield port


@contextmanager
def nginx_lua(upstream_port: int, folder: Path) -> Iterator[int]:
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise NotThere(
            "nginx with its Lua module is not installed (Debian: nginx-light libnginx-mod-http-lua lua-cjson)"
        )
    port, modules = free_port(), sorted(Path("/usr/lib/nginx/modules").glob("ndk_http_module.so"))
    modules += sorted(Path("/usr/lib/nginx/modules").glob("ngx_http_lua_module.so"))
    loaded = "\n".join(f"load_module {module};" for module in modules)
    path = folder / "nginx.conf"
    path.write_text(NGINX.format(folder=folder, modules=loaded, upstream=upstream_port, port=port))
    with process([found, "-c", str(path), "-p", str(folder)], port):
        yield port


@contextmanager
def litellm(upstream_port: int, folder: Path) -> Iterator[int]:
    """LiteLLM's proxy with two weighted deployments; too heavy for our own set-up, so its place is named."""
    found = os.environ.get("BENCH_LITELLM", "")
    if not found:
        raise NotThere("BENCH_LITELLM names no litellm executable (an own environment with litellm[proxy])")
    deployment = (
        "  - model_name: support\n    litellm_params: {{model: openai/m, api_base: '{url}', api_key: x, weight: {n}}}\n"
    )
    url, port, path = f"http://127.0.0.1:{upstream_port}/v1", free_port(), folder / "litellm.yaml"
    path.write_text("model_list:\n" + "".join(deployment.format(url=url, n=n) for n in (95, 5)))
    more: Mapping[str, str] = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DATABASE_URL": ""}
    with process([found, "--config", str(path), "--port", str(port), "--num_workers", "1"], port, **more):
        yield port
