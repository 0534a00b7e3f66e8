"""What takes two people: the question that an act asks before it goes on; `acts` has the acts that can wait."""

from __future__ import annotations

from pipelines.actions.refused import ActionRefused
from tenants.models import Client
from tenants.models.owned import ClientOwned
from tenants.people import four_eyes
from tenants.people.four_eyes import Topic, TwoPeopleNeeded


def second_for(row: ClientOwned, topic: Topic, actor: str) -> str:
    """Who confirmed it; empty where one person is enough. Raises `ActionRefused` where it takes two."""
    try:
        return four_eyes.second_for(Client.objects.select_related("agency").get(pk=row.client_id), topic, actor)
    except TwoPeopleNeeded as needed:
        raise ActionRefused(str(needed)) from needed


def confirmed_by(second: str) -> dict[str, str]:
    """The part of a ledger row's detail that names a second person."""
    return {"confirmed_by": second} if second else {}
