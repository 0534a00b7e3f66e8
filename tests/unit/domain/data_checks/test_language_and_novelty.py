"""Languages, lengths and likeness: small measures that shifts are judged by."""

from __future__ import annotations

import pytest

from pipelines.domain.data_checks import LANGUAGES, DistributionLimits, compare_shares, language_of, length_bin
from pipelines.domain.data_checks.novelty import Categories
from tenants import pipeline_settings

LIMITS = DistributionLimits(variation=0.3)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Where is my parcel?", "en"),
        ("¿Dónde está mi pedido?", "es"),
        ("No puedo entrar en mi cuenta", "es"),
        ("Wo ist mein Paket?", "de"),
        ("Où est mon colis ?", "fr"),
        ("Onde está a minha encomenda", "pt"),
        ("Dov'è il mio pacco", "it"),
        ("On és el meu paquet", "ca"),
        ("Waar is mijn pakket", "nl"),
        ("Где моя посылка", "ru"),
        ("荷物はどこですか", "ja"),
        ("我的包裹在哪里", "zh"),
        ("billing", ""),
        ("12345", ""),
        ("", ""),
    ],
)
def test_a_language_is_told_or_unknown(text: str, code: str) -> None:
    assert language_of(text) == code


def test_the_settings_know_the_same_languages() -> None:
    assert set(pipeline_settings.LANGUAGES) == set(LANGUAGES)


def test_lengths_fall_into_ranges_without_gaps() -> None:
    assert [length_bin(n) for n in (1, 2, 3, 4, 6, 8, 9)] == [
        "1 words",
        "2 words",
        "3 words",
        "4-5 words",
        "6-8 words",
        "6-8 words",
        "9-12 words",
    ]


def test_a_shift_names_what_grew_and_needs_both_size_and_evidence() -> None:
    shifted = compare_shares("language", {"es": 60, "en": 40}, {"en": 200}, LIMITS)
    assert shifted.breach.startswith("language shift: total variation 0.60 > 0.30, p=0.0001")
    assert shifted.breach.endswith("es is 60 % of the new rows and was 0 %")
    assert compare_shares("language", {"es": 1, "en": 1}, {"en": 3}, LIMITS).breach == ""
    assert compare_shares("language", {}, {"en": 3}, LIMITS).variation is None


def test_an_input_is_nearest_to_the_category_whose_words_it_shares() -> None:
    rows = [("billing", "my invoice is wrong"), ("billing", "an invoice twice"), ("delivery", "where is my parcel")]
    known = Categories(rows * 3)

    label, likeness = known.nearest("the invoice")

    assert label == "billing" and 0.2 < likeness < 1
    assert known.knows("the invoice", 0.2) and not known.knows("quantum flux capacitor", 0.01)
    assert known.nearest("quantum flux capacitor")[1] == 0.0
    assert Categories([]).nearest("anything") == ("", 0.0)
