"""New rows against stored signatures, by the stage's own code, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import Figure

NEW, BATCHES, LIKE = 500, 5, 0.95
Texts = dict[str, str]


def incremental(var: Path, texts: Texts, rng: np.random.Generator) -> dict[str, Figure]:
    """The same batches on both databases. Half of the new rows are edited copies of stored ones: each must be found."""
    os.environ |= {"RETUNE_VAR": str(var), "RETUNE_LOG_LEVEL": "WARNING"}
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agency.settings")
    import django

    django.setup()
    from django.core.management import call_command

    from tests.installation import as_default, install
    from tests.servers import ServerFailed, postgres_server

    new = _new_texts(texts, rng)
    call_command("migrate", verbosity=0)
    figures = _measured(texts, new)
    try:
        with postgres_server() as server, as_default(install(server).app_url):
            figures |= {f"postgresql_{name}": value for name, value in _measured(texts, new).items()}
    except (ServerFailed, FileNotFoundError) as error:
        figures |= {"postgresql_incremental_s": None, "postgresql_incremental_s_why": str(error).splitlines()[0]}
    return figures


def _measured(texts: Texts, new: list[str]) -> dict[str, Figure]:
    from django.db import transaction

    from pipelines.models import Example, SignatureBlock
    from pipelines.validation.batch import NewRows
    from pipelines.validation.neighbours import mark_near_duplicates
    from tests import factories

    pipeline = factories.make_pipeline()
    with factories.inside(pipeline):
        begun = time.perf_counter()
        _store(pipeline, texts)
        store_s = time.perf_counter() - begun
        run = factories.make_run(pipeline, at="validate", status="running")
        rows = _rows(pipeline, "new", new)
        taken = []
        for start in range(0, len(rows), NEW):
            batch = NewRows(list(Example.objects.filter(pk__in=[row.pk for row in rows[start : start + NEW]])))
            begun, worked = time.perf_counter(), time.process_time()
            blocks = mark_near_duplicates(run, batch, LIKE)
            with transaction.atomic():
                SignatureBlock.objects.bulk_create(blocks)
            taken.append((time.perf_counter() - begun, time.process_time() - worked, len(batch.marked)))
    seconds, cpu_s, found = (list(column) for column in zip(*taken, strict=True))
    return {
        "store_s": store_s,
        "incremental_s": float(np.median(seconds)),
        "incremental_best_s": min(seconds),
        "incremental_cpu_s": float(np.median(cpu_s)),
        "incremental_recall": sum(found) / (len(rows) / 2),
    }


def _new_texts(texts: Texts, rng: np.random.Generator) -> list[str]:
    """Five batches: edited copies of distinct originals, and texts of words that nobody used."""
    originals = rng.choice(list(texts.values()), BATCHES * NEW // 2, replace=False)
    edited = []
    for original in originals:
        words = original.split()
        words[int(rng.integers(1, len(words) - 1))] = "changed"
        edited.append(" ".join(words))
    fresh = [" ".join(f"n{n}w{i}" for i in range(225)) for n in range(len(edited))]
    return [text for pair in zip(edited, fresh, strict=True) for text in pair]


def _store(pipeline: Any, texts: Texts) -> None:
    """Rows that train already, with their signatures, as earlier runs left them."""
    from django.utils import timezone

    from pipelines.models import DatasetVersion, Example
    from pipelines.validation import signatures
    from tests import factories

    rows = _rows(pipeline, "old", list(texts.values()))
    run = factories.make_run(pipeline, at="validate", status="cancelled")
    dataset = DatasetVersion.of(run, pipeline=pipeline, run=run, digest="0" * 64, rows_total=len(rows), rows_new=0)
    dataset.created_at = timezone.now()
    dataset.save()
    Example.objects.all().update(dataset=dataset)
    signatures.top_up(Example.objects.filter(dataset=dataset))


def _rows(pipeline: Any, token: str, texts: list[str]) -> list[Any]:
    import hashlib

    from django.utils import timezone

    from pipelines.models import Batch, Example

    batch = Batch.of(pipeline, pipeline=pipeline, token=token, created_by="bench", created_at=timezone.now())
    batch.is_complete = True
    batch.save()
    rows = []
    for line, text in enumerate(texts, 1):
        said = [{"role": "user", "content": text}, {"role": "assistant", "content": "billing"}]
        digest = hashlib.sha256(text.encode()).hexdigest()
        fields = {"messages": said, "label": "billing", "content_digest": digest, "input_digest": digest}
        rows.append(
            Example.of(pipeline, pipeline=pipeline, batch=batch, line=line, created_at=batch.created_at, **fields)
        )
    return Example.objects.bulk_create(rows, batch_size=1_000)
