"""What a host does to an uploaded file in a process of its own: generation B's canonical rewrite, and quantising."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agency.ollama_host.host import Host
from agency.ollama_host.scheduler import child_command, child_environment
from agency.ollama_host.store.disk import file_digest
from agency.ollama_host.store.gguf import Header, refuse

QUANTISABLE = ("F16", "BF16", "F32")
QUANTISATIONS = ("F32", "F16", "Q4_K_S", "Q4_K_M", "Q8_0")


def check_quantise(header: Header, wanted: str) -> None:
    if header.file_type not in QUANTISABLE:
        raise refuse("quantization is only supported for F16, BF16 and F32 models")
    if wanted not in QUANTISATIONS:
        supported = ", ".join(QUANTISATIONS)
        raise refuse(f"unsupported quantization type {wanted} - supported types are {supported}")


async def quantise_progress(host: Host, digest: str, header: Header, wanted: str) -> AsyncIterator[dict[str, Any]]:
    total = host.store.blob_path(digest).stat().st_size
    text = f"quantizing {header.file_type} model to {wanted}"
    yield {"status": text, "digest": "0000000000000000000", "total": total, "completed": 1}
    await rewritten(host, digest, wanted)
    yield {"status": text, "digest": "0000000000000000000", "total": total, "completed": total}


async def rewritten(host: Host, digest: str, file_type: str) -> str:
    """The digest after llama.cpp's rewrite, made once per upload; a canonical file keeps its own."""
    key = f"{file_type} {digest}"
    if (known := host.rewritten.get(key)) and host.store.has(known):
        return known
    target = host.store.temporary()
    try:
        if await _run_rewrite(host, host.store.blob_path(digest), target, file_type) != 0:
            prefix = "failed to validate GGUF with llama-quantize without compatibility patches"
            raise refuse(f"{prefix}: llama-quantize failed: exit status 1")
        made = await asyncio.to_thread(file_digest, target)
        host.rewritten[key] = host.store.adopt(target, made)
    finally:
        target.unlink(missing_ok=True)
    return host.rewritten[key]


async def _run_rewrite(host: Host, source: Path, target: Path, file_type: str) -> int:
    with host.scheduler.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *child_command("rewrite", str(source), str(target), file_type),
            stdout=log, stderr=log, env=child_environment(), start_new_session=True,
        )  # fmt: skip
    try:
        return await process.wait()
    finally:
        with suppress(ProcessLookupError):  # the client may have left: the work ends with it
            process.kill()
