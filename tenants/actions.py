"""Writes of the ground, each with its line in the ledger.

Clients, hosts, pipelines, settings, evaluation sets, keys, people.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString, TypedDict, Unpack

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from tenants import access, naming, scope
from tenants.billing import caps
from tenants.following.fields import shared
from tenants.models import (
    Agency,
    ApiKey,
    AuditEvent,
    CapKind,
    Client,
    EvalCase,
    EvalSet,
    Host,
    Membership,
    Pipeline,
    Role,
    SettingsPreset,
    SettingsRevision,
    User,
)
from tenants.people import four_eyes
from tenants.pipeline_settings import PipelineSettings


class MemberRefused(ValueError):
    """A person cannot be added or removed so: the sentence says why. Nothing was changed."""


class SetupClosed(RuntimeError):
    """The installation already has an agency: sign-up is closed."""


@transaction.atomic
def found_agency(name: str, slug: str, email: str, password: str, now: datetime) -> tuple[Agency, User]:
    """The first visit: the agency and its owner. Raises `SetupClosed` when there is one already."""
    if Agency.objects.select_for_update().exists():
        raise SetupClosed(_("This installation already has its agency. Ask its owner for an invitation."))
    agency = Agency.objects.create(name=name, slug=slug, created_at=now)
    owner = User.objects.create_user(email, password)
    with scope.agency_scope(agency.pk):
        Membership(agency=agency, user=owner, role=Role.OWNER).save()
        AuditEvent.append(agency, owner.email, "agency.found", slug, now, {"name": name})
    return agency, owner


class Marked(TypedDict, total=False):
    """Of a client that this program made up."""

    is_demo: bool


@transaction.atomic
def create_client(
    agency: Agency, name: str, slug: str, actor: str, now: datetime, timezone: str = "UTC", **more: Unpack[Marked]
) -> Client:
    """A new client of the agency.

    The slug is unique in the installation, because it is part of model names on hosts. Raises `naming.BadName`.
    """
    naming.short_name(slug, naming.CLIENT_RESERVED)
    naming.time_zone(timezone)
    client = Client(agency=agency, name=name, slug=slug, timezone=timezone, created_at=now, **more)
    client.save()
    with scope.client_scope(client.pk, agency.pk):
        AuditEvent.append(client, actor, "client.create", slug, now, {"name": name, "timezone": timezone})
    return client


@transaction.atomic
def set_retention(client: Client, versions: int, days: int, actor: str, now: datetime) -> None:
    """How many versions that were in production keep their weights for ever, and for how many days all of them do."""
    if versions < 1 or days < 1:
        raise ValueError(_("Keep at least one version, and each for at least a day."))
    before = [client.keep_versions, client.keep_days]
    client.keep_versions, client.keep_days = versions, days
    client.save(update_fields=["keep_versions", "keep_days"])
    detail = {"versions": [before[0], versions], "days": [before[1], days]}
    AuditEvent.append(client, actor, "client.retention", client.slug, now, detail)


@transaction.atomic
def add_host(client: Client, name: str, url: str, actor: str, now: datetime, **more: Any) -> Host:
    """`more`: kind, sealed, access. It is looked at from the next tick on."""
    host = Host(agency_id=client.agency_id, client=client, name=name, url=url.rstrip("/"), due_at=now, **more)
    host.save()
    detail = {"url": host.url, "kind": host.kind} | ({"access": host.access} if host.access else {})
    AuditEvent.append(client, actor, "host.add", name, now, detail)
    return host


@transaction.atomic
def create_pipeline(client: Client, name: str, slug: str, body: dict[str, Any], actor: str, now: datetime) -> Pipeline:
    """A pipeline with its first settings revision. Raises pydantic's ValidationError with a sentence per field.

    One more than the caps allow is such a sentence, of no field; a short name that cannot be is one of `slug`.
    """
    try:
        naming.short_name(slug, naming.PIPELINE_RESERVED)
        caps.refuse_beyond(CapKind.PIPELINES, client.agency_id, client.pk, caps.pipelines_of(client.agency_id))
    except naming.BadName as bad:
        raise _refusal("bad_name", bad, "slug") from bad
    except caps.CapReached as reached:
        raise _refusal("cap_reached", reached) from reached
    pipeline = Pipeline(agency_id=client.agency_id, client=client, name=name, slug=slug, created_at=now)
    pipeline.save()
    AuditEvent.append(client, actor, "pipeline.create", slug, now)
    change_settings(pipeline, body, actor, now, reason=_("first settings"))
    return pipeline


def _refusal(kind: LiteralString, why: Exception, *field: str) -> ValidationError:
    told = PydanticCustomError(kind, "{why}", {"why": str(why)})
    return ValidationError.from_exception_data("pipeline", [{"type": told, "loc": field, "input": None}])


class StaleSettings(RuntimeError):
    """Somebody saved another revision than the one that the change was made from."""


class MadeFrom(TypedDict, total=False):
    """The number of the revision that the person saw, 0 for none; without it the newest one is taken."""

    base: int


@transaction.atomic
def change_settings(
    pipeline: Pipeline, body: dict[str, Any], actor: str, now: datetime, reason: str = "", **seen: Unpack[MadeFrom]
) -> SettingsRevision:
    """A new immutable revision; unchanged settings give the current one back.

    Raises `StaleSettings`, and `TwoPeopleNeeded` where thresholds take two people (tenants/people/four_eyes.py).
    """
    settings = PipelineSettings.model_validate(body)
    stored = settings.model_dump(mode="json")
    locked = Pipeline.objects.select_for_update(of=("self",)).select_related("revision").get(pk=pipeline.pk)
    current = locked.revision
    if "base" in seen and seen["base"] != (current.number if current else 0):
        raise StaleSettings(f"{pipeline.slug} has other settings by now.")
    if current is not None and current.body == stored:
        return current
    number = (pipeline.revisions.aggregate(top=Max("number"))["top"] or 0) + 1
    fields = {"number": number, "body": stored, "author": actor, "reason": reason, "created_at": now}
    revision = SettingsRevision.of(pipeline, pipeline=pipeline, **fields)
    revision.save()
    pipeline.revision = revision
    pipeline.own_fields = _own_fields(pipeline, current, stored)
    pipeline.save(update_fields=["revision", "own_fields"])
    changes = [list(change) for change in revision.changes_from(current)] if current else []
    second = _second_for(pipeline, [change[0] for change in changes], actor)
    detail = {"changes": changes, "reason": reason} | ({"confirmed_by": second} if second else {})
    AuditEvent.append(pipeline, actor, "settings.change", f"{pipeline.slug} r{number}", now, detail)
    return revision


def _second_for(pipeline: Pipeline, paths: list[str], actor: str) -> str:
    """Who confirmed a change of thresholds, where that takes two."""
    if not four_eyes.touches_thresholds(paths):
        return ""
    return four_eyes.second_for(pipeline.client, four_eyes.Topic.THRESHOLDS, actor)


def _own_fields(pipeline: Pipeline, before: SettingsRevision | None, stored: dict[str, Any]) -> list[str]:
    """Fields that are the pipeline's own: other than its preset's, or its own before and left as they were."""
    if pipeline.preset_id is None:
        return []
    with scope.agency_scope(pipeline.agency_id):  # The preset is the agency's: a client's scope cannot read it.
        preset = shared(SettingsPreset.objects.get(pk=pipeline.preset_id).now_stored())
    old, new = shared(before.body if before else {}), shared(stored)
    kept = {path for path in pipeline.own_fields if old.get(path) == new.get(path)}
    return sorted(kept | {path for path in preset if new.get(path) != preset[path]})


@transaction.atomic
def put_eval_set(
    pipeline: Pipeline, kind: str, cases: Sequence[dict[str, Any]], actor: str, now: datetime, note: str = ""
) -> EvalSet:
    """A new version of the pipeline's set of this kind.

    Each case: {"id", "messages", "check", "expected"}, and "origin" where it did not come by upload. The same cases as
    before give the version that there is.
    """
    body = json.dumps(list(cases), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(body.encode()).hexdigest()
    last = EvalSet.objects.filter(pipeline=pipeline, kind=kind).order_by("-version").first()
    if last is not None and last.digest == digest:
        return last
    fields = {
        "kind": kind,
        "version": last.version + 1 if last else 1,
        "digest": digest,
        "size": len(cases),
        "note": note,
        "created_by": actor,
        "created_at": now,
    }
    made = EvalSet.of(pipeline, pipeline=pipeline, **fields)
    made.save()
    EvalCase.objects.bulk_create([_case(made, case) for case in cases], batch_size=500)
    AuditEvent.append(
        pipeline,
        actor,
        "evalset.put",
        f"{pipeline.slug}/{kind} v{made.version}",
        now,
        {"size": len(cases), "digest": digest, "note": note},
    )
    return made


def _case(made: EvalSet, case: dict[str, Any]) -> EvalCase:
    fields = {"messages": case["messages"], "check_name": case["check"], "expected": case.get("expected", {})}
    fields["origin"] = case.get("origin", "")
    return EvalCase.of(made, eval_set=made, key=case["id"], input_digest=input_digest(case["messages"]), **fields)


def input_digest(messages: Sequence[dict[str, Any]]) -> str:
    """SHA-256 of what the user side says, white space folded, NFC: the key of duplicates, conflicts and leakage."""
    said = [" ".join(str(m.get("content", "")).split()) for m in messages if m.get("role") == "user"]
    said = [unicodedata.normalize("NFC", text) for text in said]
    return hashlib.sha256("\x00".join(said).encode()).hexdigest()


class KeyLimits(TypedDict, total=False):
    """How much a key may ask the models, a minute and gateway process; None is no limit."""

    requests_per_minute: int | None
    tokens_per_minute: int | None


@transaction.atomic
def issue_key(
    client: Client, name: str, verbs: Sequence[str], actor: str, now: datetime, **limits: Unpack[KeyLimits]
) -> tuple[ApiKey, str]:
    """A key for programs; its text is shown once. Raises ValueError for a verb that no key can carry."""
    unknown = sorted(set(verbs) - access.KEY_VERBS.keys())
    if unknown or not verbs:
        raise ValueError(_("Unknown verb: %(verbs)s.") % {"verbs": ", ".join(unknown) or "-"})
    row, text = ApiKey.issue(client, name, list(verbs), now, **limits)
    detail = {"verbs": row.verbs} | {limit: value for limit, value in limits.items() if value is not None}
    AuditEvent.append(client, actor, "key.issue", f"{name} rk_{row.prefix}", now, detail)
    return row, text


@transaction.atomic
def revoke_key(key: ApiKey, actor: str, now: datetime) -> None:
    key.revoked_at = now
    key.save(update_fields=["revoked_at"])
    AuditEvent.append(key, actor, "key.revoke", f"{key.name} rk_{key.prefix}", now)


class Invited(TypedDict, total=False):
    """A new person: `password` for a new account; `client` for a reader."""

    password: str | None
    client: Client | None


@transaction.atomic
def add_member(
    agency: Agency, email: str, role: str, actor: str, now: datetime, **invited: Unpack[Invited]
) -> Membership:
    """A person with a role; readers belong to a client. The account is made when the address is new.

    Raises `MemberRefused` for one who is a member there already.
    """
    email, client = email.lower(), invited.get("client")
    Agency.objects.select_for_update().get(pk=agency.pk)
    if Membership.objects.filter(user__email=email, client=client).exists():
        raise MemberRefused(_("This person is a member here already."))
    user = User.objects.filter(email=email).first() or User.objects.create_user(email, invited.get("password"))
    membership = Membership(agency=agency, user=user, role=role, client=client)
    membership.save()
    AuditEvent.append(client or agency, actor, "member.add", email, now, {"role": role})
    return membership


@transaction.atomic
def remove_member(membership: Membership, actor: str, now: datetime, reason: str = "") -> None:
    """The person may do nothing there any more, from the next request on; the account and its acts stay.

    Raises `MemberRefused` for the agency's last owner.
    """
    # Locked: two owners may remove each other at once.
    agency = Agency.objects.select_for_update().get(pk=membership.agency_id)
    owners = Membership.objects.filter(role=Role.OWNER)
    if membership.role == Role.OWNER and not owners.exclude(pk=membership.pk).exists():
        raise MemberRefused(_("The last owner stays: make somebody else an owner first."))
    detail = {"role": membership.role, "reason": reason}
    AuditEvent.append(membership.client or agency, actor, "member.remove", membership.user.email, now, detail)
    membership.delete()
