"""Evaluation sets: which there are, the cases of one, one case, and its versions. Every change makes a new version."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.htmx import go
from agency.portal.context import pipeline_page, who
from agency.portal.forms.cases import CaseForm, EvalSetForm, NoteForm
from agency.portal.forms.fields import RetuneForm
from agency.portal.paging import number_in, paged
from pipelines import actions
from pipelines.reports.evaluation import eval_sets as reports
from tenants import access
from tenants.models import EvalCase, EvalSet, Pipeline
from tenants.models.eval_set import EvalKind

CASES_A_PAGE = 25


@dataclass(frozen=True)
class Opened:
    """A kind of set of a pipeline, and the version that is looked at; None while there is none."""

    pipeline: Pipeline
    kind: EvalKind
    shown: EvalSet | None
    newest: EvalSet | None

    @property
    def base(self) -> int:
        return self.newest.version if self.newest else 0

    @property
    def is_newest(self) -> bool:
        return self.shown is None or self.shown == self.newest

    def change(self, request: HttpRequest, change: actions.Change, note: str) -> EvalSet:
        now = timezone.now()
        return actions.change_set(self.pipeline, self.kind, change, actor=who(request), note=note, now=now)

    def go(self, request: HttpRequest, said: str) -> HttpResponse:
        messages.success(request, said)
        return go(request, reverse("eval-set", args=[self.pipeline.client.slug, self.pipeline.slug, self.kind]))


def open_set(request: HttpRequest, row: Pipeline, kind: str) -> Opened:
    """Raises 404 for an unknown kind or version."""
    if kind not in set(EvalKind):
        raise Http404
    made = EvalSet.objects.filter(pipeline=row, kind=kind).order_by("-version")
    newest, wanted = made.first(), request.GET.get("version", "")
    shown = made.filter(version=number_in(wanted)).first() if wanted else newest
    if wanted and shown is None:
        raise Http404
    return Opened(row, EvalKind(kind), shown, newest)


def eval_sets(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    lines, form = reports.set_lines(row), EvalSetForm(row.settings.criteria.output)
    return pipeline_page(request, row, "portal/sets/sets.html", lines=lines, set_form=form)


def eval_set(request: HttpRequest, slug: str, pipeline_slug: str, kind: str) -> HttpResponse:
    verb = access.CONFIGURE if request.method == "POST" else access.VIEW
    row = open_pipeline(request, slug, pipeline_slug, verb)
    opened = open_set(request, row, kind)
    return _change(request, opened) if request.method == "POST" else _page(request, opened, NoteForm())


def _page(request: HttpRequest, opened: Opened, form: RetuneForm, status: int = 200) -> HttpResponse:
    wanted = {"text": request.GET.get("q", "").strip(), "check": request.GET.get("check", "")}
    rows = reports.cases_of(opened.shown, **wanted) if opened.shown else EvalCase.objects.none()
    given = {
        "opened": opened,
        "page": paged(request, rows, CASES_A_PAGE),
        "checks": reports.checks_of(opened.shown) if opened.shown else [],
        "versions": EvalSet.objects.filter(pipeline=opened.pipeline, kind=opened.kind).order_by("-version"),
        "flipped": reports.flipped(reports.not_worse(opened.pipeline), opened.kind),
        "form": form,
        "chosen": set(request.POST.getlist("case")),
    }
    return pipeline_page(request, opened.pipeline, "portal/sets/set.html", status, **given, **wanted)


def _change(request: HttpRequest, opened: Opened) -> HttpResponse:
    """Take chosen cases out, or make an older version's cases the newest version."""
    form, chosen = NoteForm(request.POST), request.POST.getlist("case")
    base = number_in(request.POST.get("base", "")) or 0
    form.full_clean()
    try:
        match request.POST.get("act"):
            case "remove" if chosen:
                made = opened.change(request, actions.Change(base, remove=chosen), form.data.get("note", ""))
            case "restore" if opened.shown:
                made = _restored(request, opened, opened.shown)
            case _:
                raise actions.ActionRefused(_("Choose at least one case, then take it out."))
    except actions.ActionRefused as refused:
        form.add_error(None, str(refused))
        return _page(request, opened, form, 422)
    return opened.go(request, _("Version %(n)s holds %(size)s cases.") % {"n": made.version, "size": made.size})


def _restored(request: HttpRequest, opened: Opened, old: EvalSet) -> EvalSet:
    cases = [case.as_stored() for case in old.cases.order_by("id")]
    note, now = _("as version %(n)s") % {"n": old.version}, timezone.now()
    return actions.put_set(opened.pipeline, opened.kind, cases, actor=who(request), note=note, now=now)


def eval_case(request: HttpRequest, slug: str, pipeline_slug: str, kind: str) -> HttpResponse:
    """A new case, or with ?case= a change to one."""
    row = open_pipeline(request, slug, pipeline_slug, access.CONFIGURE)
    opened = open_set(request, row, kind)
    old = _old_case(opened, request.GET.get("case", ""))
    initial = (CaseForm.given(old) if old else {}) | {"base": opened.base}
    form = CaseForm(kind, row.settings.criteria.output, request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            return _write(request, opened, form, old)
        except actions.ActionRefused as refused:
            form.add_error(None, str(refused))
    status = 422 if form.errors else 200
    return pipeline_page(request, row, "portal/sets/case.html", status, opened=opened, form=form, old=old)


def _old_case(opened: Opened, key: str) -> EvalCase | None:
    found = opened.newest.cases.filter(key=key).first() if opened.newest and key else None
    if key and found is None:
        raise Http404
    return found


def _write(request: HttpRequest, opened: Opened, form: CaseForm, old: EvalCase | None) -> HttpResponse:
    case, base = form.case, number_in(request.POST.get("base", "")) or 0
    is_taken = opened.newest is not None and opened.newest.cases.filter(key=case["id"]).exists()
    if is_taken and (old is None or old.key != case["id"]):
        raise actions.ActionRefused(_("There is a case “%(id)s” already.") % {"id": case["id"]})
    renamed = [old.key] if old is not None and old.key != case["id"] else []
    change = actions.Change(base, put=[case], remove=renamed)
    made = opened.change(request, change, form.cleaned_data["note"])
    return opened.go(request, _("Case “%(id)s” is in version %(n)s.") % {"id": case["id"], "n": made.version})
