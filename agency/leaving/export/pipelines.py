"""One pipeline as files that people and other tools read."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from typing import Any

from agency.as_code import changing, document
from agency.leaving.export.files import table
from agency.leaving.export.models import Loadable, loadable
from agency.leaving.tar import Tar
from pipelines.cards import version_yaml
from pipelines.models import DatasetVersion, GateResult, ModelVersion, Rollback, Scorecard
from pipelines.reports.changes.passport import passport
from pipelines.reports.logs import gate_table
from tenants import scope
from tenants.models import EvalCase, EvalSet, Pipeline

DATASET = ("number of its run", "made at", "rows", "new rows", "file of the rows", "file of their origins")
ROLLBACK = ("decided at", "from", "to", "phase", "metric", "by", "sentence", "flipped at", "verified at")


def pipeline_pieces(pipeline: Pipeline, place: str, tar: Tar) -> Generator[bytes, None, list[Loadable]]:
    found: list[Loadable] = []
    with _inside(pipeline):
        texts = dict(_texts(pipeline))
    for name, text in texts.items():
        yield from tar.text(f"{place}/{name}", text)
    with _inside(pipeline):
        numbers = list(ModelVersion.objects.filter(pipeline=pipeline).order_by("number").values_list("pk", flat=True))
    for number in numbers:
        with _inside(pipeline):
            related = ("run__revision", "pipeline", "client", "dataset")
            version = ModelVersion.objects.select_related(*related).get(pk=number)
            folder = f"{place}/versions/{version.label}"
            texts = {"version.yaml": version_yaml(version), "passport.json": passport(version, tar.now)}
            model = loadable(version, f"pipelines/{pipeline.slug}/versions/{version.label}")
        if model is not None:
            found.append(model)
            texts["Modelfile"] = model.modelfile
        for name, text in texts.items():
            yield from tar.text(f"{folder}/{name}", text)
    return found


def _inside(pipeline: Pipeline) -> scope.Entered:
    return scope.client_scope(pipeline.client_id, pipeline.agency_id)


def _texts(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    if pipeline.revision is not None:
        yield "pipeline.yaml", document.write(pipeline, changing.base_digest(pipeline.settings.recipe.base))
    gates = GateResult.objects.filter(run__pipeline=pipeline).select_related("run__pipeline__client", "waiver")
    yield "gates.csv", table(gate_table(gates.order_by("pk")))
    yield "rollbacks.csv", table(_rollbacks(pipeline))
    yield "datasets.csv", table(_datasets(pipeline))
    yield "scorecards.jsonl", "".join(_scorecards(pipeline))
    for name, text in _evaluation(pipeline):
        yield f"evaluation/{name}.jsonl", text


def _rollbacks(pipeline: Pipeline) -> Iterator[list[object]]:
    yield list(ROLLBACK)
    for row in Rollback.objects.filter(pipeline=pipeline).select_related("from_version", "to_version").order_by("pk"):
        to = row.to_version.label if row.to_version else ""
        said = [row.phase, row.metric, row.decided_by, row.sentence, row.flipped_at, row.verified_at]
        yield [row.decided_at, row.from_version.label, to, *said]


def _datasets(pipeline: Pipeline) -> Iterator[list[object]]:
    yield list(DATASET)
    for row in DatasetVersion.objects.filter(pipeline=pipeline).select_related("run").order_by("pk"):
        files = [f"files/{digest}.jsonl" if digest else "" for digest in (row.digest, row.manifest)]
        yield [row.run.number, row.created_at, row.rows_total, row.rows_new, *files]


def _scorecards(pipeline: Pipeline) -> Iterator[str]:
    for card in Scorecard.objects.filter(run__pipeline=pipeline).select_related("run", "version").order_by("pk"):
        told: dict[str, Any] = {"run": card.run.number, "version": card.version.label, "metrics": card.metrics}
        told |= {"cases": card.cases, "latency_ms": card.latency_ms, "answers": card.answers_digest}
        yield json.dumps(told, ensure_ascii=False) + "\n"


def _evaluation(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """The newest version of each kind; older ones are in the tables."""
    newest: dict[str, EvalSet] = {}
    for row in EvalSet.objects.filter(pipeline=pipeline).order_by("version"):
        newest[row.kind] = row
    for kind, row in sorted(newest.items()):
        cases = EvalCase.objects.filter(eval_set=row).order_by("pk")
        yield f"{kind}-v{row.version}", "".join(json.dumps(c.as_stored(), ensure_ascii=False) + "\n" for c in cases)
