"""One setting over many pipelines: chosen, shown as one difference, saved by one confirmation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from agency.actor import open_agency
from agency.as_code.possible import saver
from agency.htmx import go
from agency.portal.context import who
from agency.portal.forms.fields import RetuneForm
from agency.portal.forms.many.forms import SINGLE, value_form
from agency.portal.forms.settings import not_reviewed
from agency.portal.views.presets.pages import bases_of, tell
from agency.templatetags.retune import figure
from tenants import access
from tenants.following.changes import Proposal, apply, propose
from tenants.models import Pipeline
from tenants.models.settings_revision import digest_of

AT_MOST = 1000


@dataclass(frozen=True)
class Asked:
    """What the page shows: a setting, the pipelines with its value, those that are ticked, what would change.

    `rows`: number, names of client and pipeline, value; no row of a table is read whole to be listed. `matching`: how
    many there are with those that are not shown. `reviewed`: digest of the value and the pipelines of `proposals`.
    """

    path: str
    rows: list[tuple[int, str, Any]]
    matching: int
    form: RetuneForm
    picked: Collection[str] = ()
    proposals: Sequence[Proposal] = ()
    nobody: bool = False
    reviewed: str = ""

    def lines(self) -> Iterator[tuple[int, str, str, str]]:
        """(number, name, value in words, the tick)."""
        for pk, name, value in self.rows:
            yield pk, name, figure(value), "checked" if str(pk) in self.picked else ""


def bulk(request: HttpRequest) -> HttpResponse:
    """`field` is the setting's path, `q` narrows the list, `pick` are the pipelines; `save` saves what was shown."""
    open_agency(request, access.CONFIGURE)
    path = request.POST.get("field") or request.GET.get("field") or next(iter(SINGLE))
    if path not in SINGLE:
        raise Http404
    rows, matching = _rows(request.GET.get("q", ""), path)
    if request.method != "POST":
        return _page(request, Asked(path, rows, matching, value_form(path)))
    form, picked = value_form(path, request.POST), set(request.POST.getlist("pick"))
    chosen = _chosen(pk for pk, _name, _value in rows if str(pk) in picked)
    if not form.is_valid() or not chosen:
        return _page(request, Asked(path, rows, matching, form, picked, nobody=not chosen), 422)
    by = saver(who(request), timezone.now())
    value = _stored(form.cleaned_data["value"])
    found = [propose(row, {path: value}, by.judge) for row in chosen]
    # What is saved is what was looked at: the same value in the same pipelines.
    seen = digest_of([path, value, sorted(row.pk for row in chosen)])
    asked = Asked(path, rows, matching, form, picked, found, reviewed=seen)
    if "save" in request.POST and request.POST.get("reviewed") == seen:
        tell(request, apply(found, bases_of(request), by, request.POST.get("reason", "")[:500]))
        return go(request, f"{request.path}?field={path}")
    if "save" in request.POST:
        form.add_error(None, not_reviewed())
    return _page(request, asked, 422 if form.errors else 200)


def _stored(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _rows(text: str, path: str) -> tuple[list[tuple[int, str, Any]], int]:
    """The first that match, and how many do. Names are looked through in Python, where case folds in every language."""
    found = Pipeline.objects.order_by("client__name", "name", "pk")
    names = found.values_list("pk", "client__name", "name")
    named = {pk: f"{client} · {name}" for pk, client, name in names}
    matching = [pk for pk, name in named.items() if text.casefold() in name.casefold()]
    shown = found.filter(pk__in=matching[:AT_MOST]).values_list("pk", f"revision__body__{path.replace('.', '__')}")
    return [(pk, named[pk], value) for pk, value in shown], len(matching)


def _chosen(pks: Iterable[int]) -> list[Pipeline]:
    found = Pipeline.objects.filter(pk__in=list(pks)).select_related("client", "revision")
    return list(found.order_by("client__name", "name"))


def _page(request: HttpRequest, asked: Asked, status: int = 200) -> TemplateResponse:
    fields = [(name, title, make().label) for name, (title, make) in SINGLE.items()]
    given = {"asked": asked, "fields": fields, "path": asked.path, "form": asked.form, "q": request.GET.get("q", "")}
    given |= {"lines": asked.lines(), "proposals": asked.proposals, "reason": request.POST.get("reason", "")}
    return TemplateResponse(request, "portal/presets/bulk.html", given, status=status)
