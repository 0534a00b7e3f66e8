"""Job build: adapter -> merged -> GGUF -> quantised -> verified; or the base's GGUF with the adapter's beside it.

What it gives is what is judged and shipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.artifacts import scratch_of, store_of, wipe_scratch
from pipelines.engine.jobs import Work
from pipelines.heavy.children import base_folder, run_child
from pipelines.models import Job
from tenants.models import EvalCase

GOLDEN_PROMPTS = 4
GOLDEN_TOKENS = 48


def work(work: Work) -> dict[str, Any]:
    run, scratch = work.job.run, scratch_of(work.job.pk)
    recipe = run.revision.settings.recipe
    store = store_of(run.client_id)
    trained = Job.objects.get(run=run, kind="train").result
    adapter = store.unpack_folder(trained["adapter_digest"], scratch / "adapter")
    full = scratch / "full.gguf"
    golden = golden_prompts(run.pipeline_id)
    convert: dict[str, Any] = {"base": str(base_folder(recipe.base)), "adapter": str(adapter), "out": str(full)}
    convert["prompts"] = [asked["messages"] for asked in golden]
    lora = scratch / "lora.gguf" if recipe.delivery == "adapter" else None
    convert |= {"lora_out": str(lora)} if lora else {}
    converted = run_child(work, "convert", convert, (0.0, 0.6))
    shipped = _quantised(work, full, recipe.quantisation)
    verify = {"gguf": str(shipped), "parity": converted["parity"], "golden": golden}
    verify |= {"adapter": str(lora)} if lora else {}
    verified = run_child(work, "verify", verify, (0.8, 1.0))
    files = {"digest": store.put_file(shipped), "lora_digest": store.put_file(lora) if lora else ""}
    lora_bytes = lora.stat().st_size if lora else 0
    wipe_scratch(work.job.pk)
    kept = {name: value for name, value in verified.items() if name != "gguf"}
    kept["answers"] = [asked | said for asked, said in zip(golden, verified["answers"], strict=True)]
    rendered = converted["parity"][-len(golden) :]
    return (
        kept
        | files
        | {
            "size_bytes": kept["size_bytes"] + lora_bytes,
            "lora_bytes": lora_bytes,
            "parity": [{"messages": g["messages"], "text": r["text"]} for g, r in zip(golden, rendered, strict=True)],
            "converter_digest": converted["converter_digest"],
            "quantisation": recipe.quantisation,
        }
    )


def _quantised(work: Work, full: Path, quantisation: str) -> Path:
    # F16 too: only the quantiser's output has the layout that every generation of hosts keeps byte for byte.
    out = full.with_name("shipped.gguf")
    run_child(work, "quantise", {"source": str(full), "out": str(out), "type": quantisation}, (0.6, 0.8))
    full.unlink()
    return out


def golden_prompts(pipeline_id: int) -> list[dict[str, Any]]:
    """A few real questions of the pipeline: asked once here, and again on every host as its smoke test."""
    cases = EvalCase.objects.filter(eval_set__pipeline_id=pipeline_id, eval_set__kind="heldout").order_by(
        "-eval_set__version", "id"
    )
    found = [{"messages": case.messages, "max_tokens": GOLDEN_TOKENS} for case in cases[:GOLDEN_PROMPTS]]
    return found or [
        {"messages": [{"role": "user", "content": "Hello, can you help me?"}], "max_tokens": GOLDEN_TOKENS}
    ]
