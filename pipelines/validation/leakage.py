"""What an evaluation set asks, or nearly asks, can never train: new rows, rows that train already, unjudged ones."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from pipelines.domain.data_checks import jaccard, shingles
from pipelines.domain.neardup import Signatures, sign
from pipelines.models import DatasetVersion, Example, ExampleState, Run
from pipelines.validation import signatures
from pipelines.validation.batch import NewRows, existing, said_by_user
from tenants.models import EvalCase, EvalSet
from tenants.models.eval_set import EvalKind
from tenants.pipeline_settings import PipelineSettings

Found = list[tuple[Example, EvalCase]]
# What trains, or does as soon as a person says so or a run goes on with it.
MAY_TRAIN = (ExampleState.READY, ExampleState.REVIEW, ExampleState.PARKED)


class Asked:
    """The questions of evaluation cases, to be looked up by exact and near likeness."""

    def __init__(self, cases: Iterable[EvalCase], threshold: float) -> None:
        self.threshold = threshold
        self.digests = {case.input_digest: case for case in cases}
        self.cases = list(self.digests.values())
        self.signed = sign([said_by_user(case.messages) for case in self.cases])
        self._cut = lru_cache(maxsize=2_000)(lambda case: shingles(said_by_user(case.messages)))

    def near(self, row: Example, numbers: Iterable[int]) -> EvalCase | None:
        """The first of the cases, by number, that nearly asks what the row asks."""
        mine = shingles(signatures.input_of(row))
        cases = (self.cases[n] for n in sorted(numbers))
        return next((case for case in cases if jaccard(mine, self._cut(case)) >= self.threshold), None)

    def like(self, rows: list[Example]) -> Found:
        """The rows that ask what a case asks, each with the case."""
        buckets = _buckets(self.signed)
        signed = sign([signatures.input_of(row) for row in rows])
        found: Found = []
        for n, row in enumerate(rows):
            near = {m for key in enumerate(signed.of(n)) for m in buckets.get(key, ())}
            case = self.digests.get(row.input_digest) or (self.near(row, near) if near else None)
            if case is not None:
                found.append((row, case))
        return found

    def twins(self, rows: QuerySet[Example], pipeline_id: int, signed: QuerySet[Example] | None = None) -> Found:
        """The same among stored rows: by their digests and signatures, without reading the others. `signed`: those that
        must have a signature, else all of them.
        """
        signatures.top_up(rows if signed is None else signed)
        near: dict[int, set[int]] = {}
        for n, ids in signatures.neighbours(pipeline_id, self.signed, signatures.INPUT).items():
            for pk in ids:
                near.setdefault(pk, set()).add(n)
        exact: list[Example] = []
        for some in signatures.chunks(list(self.digests), signatures.LOOKED_UP):
            exact += rows.filter(input_digest__in=some)
        found: Found = [(row, self.digests[row.input_digest]) for row in exact]
        rest = signatures.load(rows, near.keys() - {row.pk for row in exact})
        return found + [(row, case) for pk, row in rest.items() if (case := self.near(row, near[pk])) is not None]


def _buckets(signed: Signatures) -> dict[tuple[int, int], list[int]]:
    found: dict[tuple[int, int], list[int]] = {}
    for n in range(len(signed.bands)):
        for key in enumerate(signed.of(n)):
            found.setdefault(key, []).append(n)
    return found


def mark_leakage(run: Run, new: NewRows, threshold: float) -> None:
    """Marks the new rows that leak from any version of any set of the pipeline: quarantined, always."""
    for row, case in Asked(_cases(run.pipeline_id), threshold).like(new.left):
        new.mark(row, ExampleState.QUARANTINED, "leakage", _said(case))


def quarantine_twins(made: EvalSet, threshold: float) -> int:
    """A set was put: rows that ask what its new cases ask leave the training data at once. Returns how many.

    Parked ones too, which another run may take over. Rows that no run has judged yet are found by their digest; the
    near ones among them when they are judged.
    """
    before = _cases(made.pipeline_id).exclude(eval_set=made).values("input_digest")
    asked = Asked(made.cases.exclude(input_digest__in=before), threshold)
    rows = Example.objects.filter(pipeline_id=made.pipeline_id, state__in=MAY_TRAIN)
    return _withdraw(asked.twins(rows, made.pipeline_id, rows.filter(dataset__isnull=False))) if asked.cases else 0


def trained_cases(made: EvalSet, dataset: DatasetVersion, questions: Iterable[str], threshold: float) -> set[int]:
    """The cases of a set that are newer than the dataset, and ask what it asks: by their ids.

    `questions`: the input digests that it lists. Whoever trained on it knows the answers, whatever became of its rows
    since. What older cases ask was withdrawn before it was frozen.
    """
    before = _cases(made.pipeline_id).filter(eval_set__created_at__lte=dataset.created_at).values("input_digest")
    later = made.cases.select_related("eval_set").exclude(input_digest__in=before)
    if made.created_at <= dataset.created_at or not later.exists():
        return set()
    asked, rows = Asked(later, threshold), Example.objects.filter(pipeline_id=made.pipeline_id)
    found = asked.twins(rows, made.pipeline_id, rows.filter(dataset__isnull=False))
    asks = {digest: digest for digest in asked.digests} | {row.input_digest: case.input_digest for row, case in found}
    known = {asks[digest] for digest in questions if digest in asks}
    return set(made.cases.filter(input_digest__in=known).values_list("pk", flat=True))


def case_like(row: Example, threshold: float) -> EvalCase | None:
    """The case that a row asks, of any version of any set of its pipeline."""
    return next((case for _row, case in Asked(_cases(row.pipeline_id), threshold).like([row])), None)


def withdraw_leaks(run: Run, settings: PipelineSettings) -> int:
    """The last look before a dataset is frozen: rows that no check of new rows could see. Returns how many go.

    Those that train already, where a set came after them; new ones, where it came after their check or the check is
    switched off.
    """
    threshold, cases = settings.data.near_duplicate_jaccard, _cases(run.pipeline_id)
    before = DatasetVersion.objects.filter(pipeline_id=run.pipeline_id).order_by("-id").first()
    later = cases.filter(eval_set__created_at__gte=before.created_at) if before else cases
    unseen = cases
    if "validate" in settings.stages:
        unseen = unseen.filter(eval_set__created_at__gte=run.created_at)
    fresh = Example.objects.filter(pipeline_id=run.pipeline_id, state=ExampleState.READY, dataset__isnull=True)
    return sum(_withdraw_from(rows, some, threshold) for rows, some in ((existing(run), later), (fresh, unseen)))


def withdraw_asked(rows: QuerySet[Example], run: Run) -> int:
    """A run takes rows over from another one: those that any case asks by now go. Returns how many.

    Rows that no run has judged yet are found by their digest, as by `quarantine_twins`.
    """
    asked = Asked(_cases(run.pipeline_id), run.revision.settings.data.near_duplicate_jaccard)
    judged = rows.exclude(dataset=None, judged_in=None)
    return _withdraw(asked.twins(rows, run.pipeline_id, judged)) if asked.cases else 0


def _withdraw_from(rows: QuerySet[Example], cases: QuerySet[EvalCase], threshold: float) -> int:
    asked = Asked(cases, threshold)
    return _withdraw(asked.twins(rows, asked.cases[0].eval_set.pipeline_id)) if asked.cases else 0


def _cases(pipeline_id: int) -> QuerySet[EvalCase]:
    return EvalCase.objects.filter(eval_set__pipeline_id=pipeline_id).select_related("eval_set")


def _withdraw(leaks: Found) -> int:
    for row, case in leaks:
        row.state, row.rule, row.detail = ExampleState.QUARANTINED, "leakage", _said(case)
    Example.objects.bulk_update([row for row, _case in leaks], ["state", "rule", "detail"], batch_size=200)
    return len(leaks)


def _said(case: EvalCase) -> str:
    kind = _("held-out") if case.eval_set.kind == EvalKind.HELDOUT else case.eval_set.kind
    words = {"case": case.key, "kind": kind, "n": case.eval_set.version}
    return _("Case %(case)s of the %(kind)s set (version %(n)s) asks the same.") % words
