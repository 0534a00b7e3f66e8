"""Rows of a year, copied by the owner of the tables: further clients like the first, and past months of every pipeline.

What a month leaves is what the played run left, and what it has not: six gates, a version and its route where there is
none yet, a rollback in the first month. The played run is the last of its pipeline's year.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db.models import Model

MONTHS = 12
LAST = 1000 + MONTHS  # Numbers of runs; copies have those before it.
TABLES = (
    """SELECT relname, n_live_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables ORDER BY 3 DESC LIMIT 9"""
)


def fill(owner_url: str, pipeline: Any, clients: int) -> dict[str, float]:
    """So many clients in all, each with as many pipelines as that of `pipeline`, each with a year's runs.

    Gives rows and sizes (MB) of the largest tables.
    """
    import psycopg

    told, version = _whole(pipeline)
    with psycopg.connect(owner_url, autocommit=True) as owner:
        _copy_clients(owner, pipeline.client, clients)
        owner.execute("UPDATE pipelines_run SET number = %s WHERE id <> %s", [LAST, version.run_id])
        (last,) = owner.execute("SELECT MAX(id) FROM pipelines_run").fetchall()[0]
        owner.execute(_copied_runs(), {"run": told.pk})
        for model in _children():
            owner.execute(_copied(model), {"run": told.pk, "last": last})
        _copy_production(owner, version)
        owner.execute(
            """UPDATE pipelines_pipelinestate s SET latest_run_id = r.id, last_run_number = r.number
            FROM pipelines_run r WHERE r.pipeline_id = s.pipeline_id AND r.number = %s""",
            [LAST],
        )
        owner.execute("VACUUM ANALYZE")
        found = owner.execute(TABLES).fetchall()
    figures: dict[str, float] = {}
    for name, rows, size in found:
        figures |= {f"rows_{name}": rows, f"mb_{name}": round(size / 2**20, 1)}
    return figures


def _whole(pipeline: Any) -> tuple[Any, Any]:
    """The pipeline's played run, with gates; and a version that is in production."""
    from pipelines.models import Run
    from tests import factories, stage_rows

    with factories.inside(pipeline):
        told = Run.objects.filter(pipeline=pipeline).latest("number")
        stage_rows.ROWS_OF["compare"](told, told.finished_at)
    return told, factories.make_production(pipeline, told.created_at).model_version


def _copy_clients(owner: Any, client: Any, clients: int) -> None:
    """Further clients with hosts, pipelines, settings and states like the first one's."""
    from pipelines.models import PipelineState
    from tenants.models import Client, Host, Pipeline, SettingsRevision

    known, last = owner.execute("SELECT COUNT(*), MAX(id) FROM tenants_client").fetchone()
    names = {name: f"'client-' || ({known - 1} + n)" for name in ("name", "slug")}
    many = f"tenants_client t, generate_series(1, {clients - known}) n WHERE t.id = {client.pk}"
    owner.execute(_insert(Client, names, many))
    of_new = {"agency_id": "c.agency_id", "client_id": "c.id"}
    source = f"tenants_client c, {{}} t WHERE t.client_id = {client.pk} AND c.id > {last}"
    owner.execute(_insert(Host, of_new, source.format("tenants_host")))
    owner.execute(_insert(Pipeline, of_new | {"revision_id": "NULL"}, source.format("tenants_pipeline")))
    linked = f"tenants_pipeline p JOIN tenants_pipeline f ON f.slug = p.slug AND f.client_id = {client.pk}"
    new = {"agency_id": "p.agency_id", "client_id": "p.client_id", "pipeline_id": "p.id"}
    new |= {"production_id": "NULL", "latest_run_id": "NULL", "due_at": "NULL"}
    models: tuple[type[Model], ...] = (SettingsRevision, PipelineState)
    for model in models:
        source = f"{linked} JOIN {model._meta.db_table} t ON t.pipeline_id = f.id WHERE p.client_id > {last}"
        owner.execute(_insert(model, new, source))
    owner.execute(
        """UPDATE tenants_pipeline p SET revision_id = r.id FROM tenants_settingsrevision r
        WHERE r.pipeline_id = p.id AND p.revision_id IS NULL"""
    )


def _children() -> list[Any]:
    """Every kind of row that a run leaves."""
    from django.apps import apps

    from pipelines.models import Run

    return [
        model
        for model in apps.get_app_config("pipelines").get_models()
        if any(field.column == "run_id" and field.related_model is Run for field in model._meta.concrete_fields)
    ]


def _copied_runs() -> str:
    """A month where its pipeline has none yet. One in twenty was rejected, the others succeeded."""
    from pipelines.models import Run

    given = {name: f"p.{name}" for name in ("agency_id", "client_id", "revision_id")}
    given |= {"pipeline_id": "p.id", "number": f"{LAST - MONTHS} + m", "due_at": "NULL"}
    given["status"] = "CASE WHEN (p.id + m) %% 20 = 0 THEN 'rejected' ELSE 'succeeded' END"
    given["verdict"] = given["status"]
    given |= {name: f"t.{name} - make_interval(days => 30 * ({MONTHS} - m))" for name in ("created_at", "finished_at")}
    source = f"""tenants_pipeline p CROSS JOIN generate_series(1, {MONTHS}) m CROSS JOIN pipelines_run t
        LEFT JOIN pipelines_run played ON played.pipeline_id = p.id AND played.number = {LAST}
        WHERE t.id = %(run)s AND (m < {MONTHS} OR played.id IS NULL)"""
    return _insert(Run, given, source)


def _copied(model: Any) -> str:
    given = {"agency_id": "r.agency_id", "client_id": "r.client_id", "run_id": "r.id", "pipeline_id": "r.pipeline_id"}
    given |= {"occasion": "t.occasion || ' ' || r.number", "due_at": "NULL"}
    given |= {"key": "t.key || ' ' || r.number"}
    for field in model._meta.concrete_fields:
        if field.get_internal_type() == "DateTimeField" and field.column != "due_at":
            given[field.column] = f"t.{field.column} - (first.created_at - r.created_at)"
        if field.unique and field.get_internal_type() == "CharField" and field.column not in given:
            given[field.column] = f"t.{field.column} || ' ' || r.id"
    source = f"""pipelines_run first, {model._meta.db_table} t, pipelines_run r
        WHERE first.id = %(run)s AND t.run_id = first.id AND r.id > %(last)s"""
    return _insert(model, given, source)


def _copy_production(owner: Any, version: Any) -> None:
    """A version of the first month in production, its route, and a rollback to it, for each pipeline that has none."""
    from pipelines.models import ModelVersion, Route

    given = {"agency_id": "r.agency_id", "client_id": "r.client_id", "pipeline_id": "r.pipeline_id", "run_id": "r.id"}
    source = f"pipelines_modelversion t, pipelines_run r WHERE t.id = {version.pk} AND r.number = {LAST - MONTHS + 1}"
    source += " AND NOT EXISTS (SELECT FROM pipelines_modelversion o WHERE o.pipeline_id = r.pipeline_id)"
    owner.execute(_insert(ModelVersion, given | {"dataset_id": "NULL"}, source))
    given = {"agency_id": "v.agency_id", "client_id": "v.client_id", "pipeline_id": "v.pipeline_id"}
    given |= {"production_id": "v.id", "serial": "t.serial + v.id"}
    source = f"pipelines_route t, pipelines_modelversion v WHERE t.pipeline_id = {version.pipeline_id}"
    owner.execute(_insert(Route, given, source + f" AND v.id <> {version.pk}"))
    owner.execute(
        """UPDATE pipelines_pipelinestate s SET production_id = v.id, last_version_number = v.number
        FROM pipelines_modelversion v WHERE v.pipeline_id = s.pipeline_id"""
    )
    owner.execute(
        """INSERT INTO pipelines_rollback (agency_id, client_id, pipeline_id, from_version_id, to_version_id, phase,
            metric, sentence, numbers, decided_by, decided_at, flipped_at, hosts)
        SELECT agency_id, client_id, pipeline_id, id, id, 'canary', 'error', 'errors 4.0 %% vs 0.5 %%', '{}', 'canary',
            created_at, created_at, '{}' FROM pipelines_modelversion""".replace("%%", "%")
    )


def _insert(model: Any, given: dict[str, str], source: str) -> str:
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    values = [given.get(column, f"t.{column}") for column in columns]
    return f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {source}"
