"""Short names: their form, and that none of them hides a page."""

from __future__ import annotations

import pytest
from django.urls import resolve, reverse

from agency.portal.urls import CLIENT, urlpatterns
from tenants import naming


def below_a_client() -> set[str]:
    """The first word below a client's page, of every page whose word a pipeline could have."""
    routes = [str(pattern.pattern).removeprefix(CLIENT) for pattern in urlpatterns if CLIENT in str(pattern.pattern)]
    words = {route.partition("/")[0] for route in routes if "/" in route and "<slug:slug>" not in route}
    return {word for word in words if naming.SHORT_NAME.fullmatch(word)}


def test_every_page_below_a_client_is_reserved_and_nothing_else() -> None:
    assert below_a_client() == naming.PIPELINE_RESERVED


@pytest.mark.parametrize("name", sorted(naming.PIPELINE_RESERVED))
def test_no_pipeline_is_called_like_a_page(name: str) -> None:
    with pytest.raises(naming.BadName, match="a word of the product"):
        naming.short_name(name, naming.PIPELINE_RESERVED)


@pytest.mark.parametrize("name", ["support", "a", "7", "audit-2", "my-hosts", "runs", "settings", "host", "agency"])
def test_a_name_that_is_allowed_leads_to_the_pipelines_page(name: str) -> None:
    assert naming.short_name(name, naming.PIPELINE_RESERVED) == name

    found = resolve(reverse("pipeline", args=["acme", name]))

    assert found.url_name == "pipeline" and found.kwargs["pipeline_slug"] == name


@pytest.mark.parametrize("name", ["", "-", "a-", "-a", "a--b", "A", "a b", "a.b", "a_b", "ä", "a\n", "a/b", "a" * 61])
def test_what_does_not_fit_into_addresses_and_models_names_is_refused(name: str) -> None:
    with pytest.raises(naming.BadName, match="no short name"):
        naming.short_name(name)


def test_the_longest_name_has_sixty_characters() -> None:
    assert naming.short_name("a" * 60)


def test_a_client_is_not_called_as_the_whole_agency_is() -> None:
    with pytest.raises(naming.BadName, match="agency-2"):
        naming.short_name("agency", naming.CLIENT_RESERVED)


def test_zones_and_languages_are_those_that_pages_know() -> None:
    assert naming.time_zone("Europe/Madrid") == "Europe/Madrid" and naming.language("es") == "es"
    with pytest.raises(naming.BadName, match="Europe/Madrid"):
        naming.time_zone("Mars/X")
    with pytest.raises(naming.BadName, match="en, es"):
        naming.language("tlh")
