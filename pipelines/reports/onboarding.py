"""How far a client is on its way to the first run, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.models import Example, ExampleState, Run
from tenants.models import Client, EvalSet, Host, Pipeline
from tenants.models.eval_set import EvalKind

STEPS = ("client", "host", "pipeline", "data", "run")


@dataclass(frozen=True)
class Progress:
    """`rows` are ready for the next run, of `wanted`; `cases` are held out. `run` is the number of the latest run."""

    client: Client | None = None
    pipeline: Pipeline | None = None
    hosts: tuple[Host, ...] = ()
    rows: int = 0
    wanted: int = 0
    cases: int = 0
    run: int | None = None

    @property
    def done(self) -> dict[str, bool]:
        """Step -> whether it is behind us."""
        return {
            "client": self.client is not None,
            "host": bool(self.hosts),
            "pipeline": self.pipeline is not None,
            "data": self.pipeline is not None and self.rows >= self.wanted and self.cases > 0,
            "run": self.run is not None,
        }

    @property
    def next(self) -> str | None:
        """The first step that is not done; None when the first run was started."""
        return None if self.run is not None else next((step for step in STEPS if not self.done[step]), None)

    @property
    def silent(self) -> tuple[Host, ...]:
        """Hosts that did not answer when they were last asked."""
        return tuple(host for host in self.hosts if host.facts.get("error"))

    @property
    def unasked(self) -> tuple[Host, ...]:
        return tuple(host for host in self.hosts if host.checked_at is None)


def progress(client: Client, pipeline: Pipeline | None = None) -> Progress:
    """Of a pipeline, or of the client's first; inside the client's scope, in a fixed number of queries."""
    found = pipeline or Pipeline.objects.select_related("revision").filter(client=client).order_by("pk").first()
    hosts = tuple(Host.objects.filter(client=client, is_enabled=True))
    if found is None or found.revision is None:
        return Progress(client, None, hosts)
    found.client = client
    rows = Example.objects.filter(
        pipeline=found, state=ExampleState.READY, dataset__isnull=True, batch__is_complete=True
    )
    held_out = EvalSet.objects.filter(pipeline=found, kind=EvalKind.HELDOUT).order_by("-version").first()
    latest = Run.objects.filter(pipeline=found).order_by("-number").values_list("number", flat=True).first()
    wanted = found.settings.data.min_new_examples
    return Progress(client, found, hosts, rows.count(), wanted, held_out.size if held_out else 0, latest)
