"""Job build: adapter -> merged -> GGUF -> quantised -> verified; or the base's GGUF with the adapter's beside it.

What it gives is what is judged and shipped.
"""

from __future__ import annotations

import tarfile
from typing import Any

from pipelines.artifacts import Store, store_of
from pipelines.engine.jobs import Work
from pipelines.heavy.children import run_child
from pipelines.heavy.errands import carry
from pipelines.models import Job, Run
from pipelines.work.errand import Done, Errand, Input, Step
from tenants.models import EvalCase

GOLDEN_PROMPTS = 4
GOLDEN_TOKENS = 48


def work(work: Work) -> dict[str, Any]:
    return carry(work, prepare, keep)


def prepare(work: Work) -> Errand:
    run = work.job.run
    recipe = run.revision.settings.recipe
    trained = Job.objects.get(run=run, kind="train").result
    kind, golden = trained.get("kind", "adapter"), golden_prompts(run.pipeline_id)
    made = "guard" if kind == "gguf" else "convert"
    first = _made_of(kind, store_of(run.client_id), trained["adapter_digest"])
    first |= {"out": {"@tmp": "full.gguf"}, "prompts": [asked["messages"] for asked in golden]}
    first |= {"template": trained["template"]["text"]} if trained.get("template") else {}
    outputs: dict[str, Any] = {"shipped.gguf": "file"}
    if recipe.delivery == "adapter" and kind == "adapter":
        first |= {"lora_out": {"@out": "lora.gguf"}}
        outputs |= {"lora.gguf": "file"}
    # F16 too: only the quantiser's output has the layout that every generation of hosts keeps byte for byte.
    quantise: dict[str, Any] = {
        "source": {"@tmp": "full.gguf"},
        "out": {"@out": "shipped.gguf"},
        "type": recipe.quantisation,
    }
    quantise |= {"is_final": {"@said": ["guard", "is_final"]}} if kind == "gguf" else {}
    steps = (Step(made, first, (0.0, 0.6)), Step("quantise", quantise, (0.6, 0.8), drops=("full.gguf",)))
    inputs = {"base": Input("base", name=recipe.base), "adapter": Input("folder", trained["adapter_digest"])}
    return Errand(inputs, steps, outputs, {"golden": golden, "made": made})


def may_leave(run: Run) -> bool:
    """Whether it builds on the product's own training: what was brought is not shown to anybody else."""
    return bool(Job.objects.get(run=run, kind="train").result.get("kind", "adapter") == "adapter")


def keep(work: Work, errand: Errand, done: Done) -> dict[str, Any]:
    """Verified here, whoever built it: the header is judged, the file is loaded and must answer."""
    shipped, lora, golden = done.out / "shipped.gguf", done.out / "lora.gguf", errand.facts["golden"]
    converted, is_apart = done.said[errand.facts["made"]], "lora.gguf" in errand.outputs
    verify = {"gguf": str(shipped), "parity": converted["parity"], "golden": golden}
    verify |= {"adapter": str(lora)} if is_apart else {}
    verified = run_child(work, "verify", verify, (0.8, 1.0))
    store = store_of(work.job.client_id)
    lora_bytes = lora.stat().st_size if is_apart else 0
    kept = {name: value for name, value in verified.items() if name != "gguf"}
    rendered = converted["parity"][-len(golden) :]
    own = work.job.run.revision.settings.recipe.quantisation
    return kept | {
        "digest": store.put_file(shipped),
        "lora_digest": store.put_file(lora) if is_apart else "",
        "answers": [asked | said for asked, said in zip(golden, verified["answers"], strict=True)],
        "size_bytes": kept["size_bytes"] + lora_bytes,
        "lora_bytes": lora_bytes,
        "parity": [{"messages": g["messages"], "text": r["text"]} for g, r in zip(golden, rendered, strict=True)],
        "converter_digest": converted["converter_digest"],
        "quantisation": converted["file_type"] if converted.get("is_final") else own,
    }


def _made_of(kind: str, store: Store, digest: str) -> dict[str, Any]:
    match kind:
        case "gguf":
            with tarfile.open(store.path(digest)) as tar:
                name = next(one for one in tar.getnames() if one.endswith(".gguf"))
            return {"gguf": {"@in": ["adapter", name]}, "base": {"@in": "base"}}
        case "merged":
            return {"base": {"@in": "adapter"}, "adapter": None}
    return {"base": {"@in": "base"}, "adapter": {"@in": "adapter"}}


def golden_prompts(pipeline_id: int) -> list[dict[str, Any]]:
    """A few real questions of the pipeline: asked once here, and again on every host as its smoke test."""
    cases = EvalCase.objects.filter(eval_set__pipeline_id=pipeline_id, eval_set__kind="heldout").order_by(
        "-eval_set__version", "id"
    )
    found = [{"messages": case.messages, "max_tokens": GOLDEN_TOKENS} for case in cases[:GOLDEN_PROMPTS]]
    return found or [
        {"messages": [{"role": "user", "content": "Hello, can you help me?"}], "max_tokens": GOLDEN_TOKENS}
    ]
