"""Views of the overview that a person keeps under names of their own: part of their membership."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from tenants.models import Membership

AT_MOST = 20
NAME_CHARS = 40


class ViewRefused(ValueError):
    """The view was not kept; the message says why."""


def views_of(user_id: int) -> list[dict[str, str]]:
    """[{"name", "query"}] of staff, inside the agency's scope."""
    row = Membership.objects.filter(user_id=user_id, client=None).first()
    return row.views if row else []


@transaction.atomic
def change_views(user_id: int, name: str, query: str) -> None:
    """Keeps the query under the name, or takes the name away where there is no query."""
    name = " ".join(name.split())[:NAME_CHARS]
    if not name:
        raise ViewRefused(_("Give the view a name."))
    row = Membership.objects.select_for_update().get(user_id=user_id, client=None)
    others = [view for view in row.views if view["name"] != name]
    if query and len(others) >= AT_MOST:
        raise ViewRefused(_("There are %(n)s views already: remove one first.") % {"n": AT_MOST})
    row.views = sorted(
        [*others, *([{"name": name, "query": query}] if query else [])], key=lambda v: v["name"].casefold()
    )
    row.save(update_fields=["views"])
