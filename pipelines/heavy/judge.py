"""Job judge: a judge model compares the answers of candidate and production to the held-out cases, in both orders.

Takes: the evaluation's answers. Gives: the same answers with a score `judge` (1 won, 0.5 tie, 0 lost) and who judged.
A case that could not be judged is an error, and then the metric was not measured: never a tie, never a pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines.artifacts import scratch_of, store_of, wipe_scratch
from pipelines.engine.jobs import JobFailed, Work
from pipelines.judges import Endpoint, Judge, JudgeDown, open_judge
from pipelines.judges.pairwise import PROMPT_VERSION, Judged, Pair, Tally, Verdict, is_short_enough, judge_pair
from pipelines.models import Job, Run
from pipelines.outbound import OutboundRefused, check_url
from tenants.models import EvalCase, JudgeEndpoint
from tenants.models.eval_set import EvalKind
from tenants.pipeline_settings import JUDGED, Judging

SCORES = {Verdict.CANDIDATE: 1.0, Verdict.TIE: 0.5, Verdict.PRODUCTION: 0.0}
# A judge that is away is not asked four hundred times.
LAST_STRAW = 5

Rows = list[dict[str, Any]]


class NotJudged(Exception):
    """Why no judge can be asked at all. The metric is then an error, for a person to see; the run goes on to say so."""


def work(work: Work) -> dict[str, Any]:
    run = work.job.run
    measured = Job.objects.get(run=run, stage=run.stage, kind="evaluate").result
    plan = run.revision.settings.criteria.judge
    try:
        endpoint = _endpoint(run, plan.endpoint)
        opened = _opened(endpoint, plan)
    except NotJudged as why:
        counts = {"n": 0, "wins": 0, "losses": 0, "ties": 0}
        return {
            "answers_digest": measured["answers_digest"],
            "judge": {"name": plan.endpoint, "error": str(why)} | counts,
        }
    rows, judge = list(_rows(run, measured["answers_digest"])), open_judge(endpoint.kind, opened)
    try:
        judged = _judge_all(work, judge, _pairs(run, rows, plan, measured["set_versions"]["heldout"]), plan)
        facts = _facts(endpoint, judge, judged)
    finally:
        judge.close()
    answers = store_of(run.client_id).put_lines(_scored(rows, dict(judged)))
    wipe_scratch(work.job.pk)
    return {"answers_digest": answers, "judge": facts}


def _rows(run: Run, digest: str) -> Iterator[dict[str, Any]]:
    with store_of(run.client_id).verified(digest).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _endpoint(run: Run, name: str) -> JudgeEndpoint:
    found = JudgeEndpoint.objects.filter(client_id=run.client_id, name=name, withdrawn_at=None).first()
    if found is None:
        raise NotJudged(_("the client does not allow that its rows are shown to the judge “%(name)s”") % {"name": name})
    return found


def _opened(row: JudgeEndpoint, plan: Judging) -> Endpoint:
    key = settings.JUDGE_KEYS.get(row.key_name, "") if row.key_name else ""
    if row.key_name and not key:
        raise NotJudged(_("RETUNE_JUDGE_KEYS of this installation has no key “%(name)s”") % {"name": row.key_name})
    try:
        check_url(row.url, settings.ALLOW_PRIVATE_HOSTS)
    except OutboundRefused as refused:
        raise NotJudged(str(refused)) from refused
    except OSError as fault:
        raise NotJudged(_("the name in %(url)s does not resolve") % {"url": row.url}) from fault
    return Endpoint(row.url, row.model, key, plan.timeout_s, settings.ALLOW_PRIVATE_HOSTS)


def _pairs(run: Run, rows: Rows, plan: Judging, version: int) -> list[Pair]:
    """The first `plan.cases` cases of the held-out set by the hash of their key: the same ones in every run.

    Without those whose question no judge can be shown whole.
    """
    of_set = {
        "eval_set__pipeline_id": run.pipeline_id,
        "eval_set__kind": EvalKind.HELDOUT,
        "eval_set__version": version,
    }
    asked = dict(EvalCase.objects.filter(**of_set).values_list("key", "messages"))
    answers: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["set"] == EvalKind.HELDOUT and row["id"] in asked:
            answers.setdefault(row["id"], {})[row["arm"]] = row["answer"]
    both = [key for key, found in answers.items() if len(found) == 2 and is_short_enough(asked[key])]
    chosen = sorted(both, key=lambda key: hashlib.sha256(key.encode()).hexdigest())[: plan.cases]
    return [Pair(key, asked[key], answers[key]["candidate"], answers[key]["production"]) for key in chosen]


def _judge_all(work: Work, judge: Judge, pairs: list[Pair], plan: Judging) -> list[tuple[str, Judged]]:
    """Every pair; verdicts of an attempt that was killed are found again."""
    log = scratch_of(work.job.pk) / "judged.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    _cut_torn_end(log)
    found, salt, errors = _known(log), _salt(work.job), 0
    with log.open("a", encoding="utf-8") as file:
        for pair in pairs:
            if work.cancelled():
                raise JobFailed(_("cancelled"))
            if pair.id not in found and errors < LAST_STRAW:
                said = judge_pair(judge, pair, plan.wanted, salt)
                errors = errors + 1 if said.verdict is Verdict.ERROR and said.asks else 0
                found[pair.id] = said
                file.write(json.dumps([pair.id, asdict(said)]) + "\n")
                file.flush()
            work.report(len(found) / len(pairs), _("judged by %(name)s") % {"name": plan.endpoint}, cases=len(found))
    missing = Judged(Verdict.ERROR, _("not asked: the judge failed %(n)s times in a row") % {"n": LAST_STRAW})
    return [(pair.id, found.get(pair.id, missing)) for pair in pairs]


def _cut_torn_end(log: Path) -> None:
    """A line that a killed attempt began would swallow the one that comes next."""
    if log.is_file():
        written = log.read_bytes()
        log.write_bytes(written[: written.rfind(b"\n") + 1])


def _known(log: Path) -> dict[str, Judged]:
    """Whole lines of an earlier attempt; what ended in an error is asked again."""
    found: dict[str, Judged] = {}
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    for key, said in map(json.loads, lines):
        one = Judged(Verdict(said["verdict"]), said["reason"], said["asks"], tuple(said["models"]))
        if one.verdict is not Verdict.ERROR:
            found[key] = one
    return found


def _salt(job: Job) -> str:
    """What no answer can know beforehand; the same after a crash."""
    return hashlib.sha256(f"{settings.SECRET_KEY}|judge|{job.pk}".encode()).hexdigest()


def _facts(row: JudgeEndpoint, judge: Judge, judged: list[tuple[str, Judged]]) -> dict[str, Any]:
    """Who judged, by which prompt, and how it went; `error` says why there is no figure."""
    tally = Tally.of(judged)
    try:
        version = judge.version()
    except JudgeDown as fault:
        version = f"unknown: {fault}"
    models = sorted({model for _, one in judged for model in one.models})
    error = ""
    if tally.errors:
        key, why = tally.errors[0]
        words = {"n": len(tally.errors), "all": len(judged), "key": key, "why": why}
        error = _("%(n)s of %(all)s cases could not be judged; case %(key)s: %(why)s") % words
    named = {"name": row.name, "kind": row.kind, "url": row.url, "model": row.model, "version": version}
    counts = {"n": len(judged), "wins": tally.wins, "losses": tally.losses, "ties": tally.ties}
    return named | {"models": models, "prompt_version": PROMPT_VERSION} | counts | {"error": error}


def _scored(rows: Rows, judged: dict[str, Judged]) -> Iterator[bytes]:
    for row in rows:
        said = judged.get(row["id"]) if row["set"] == EvalKind.HELDOUT else None
        if said is not None and said.verdict in SCORES:
            mine = SCORES[said.verdict]
            row["scores"][JUDGED] = mine if row["arm"] == "candidate" else 1.0 - mine
        yield json.dumps(row, ensure_ascii=False).encode()
