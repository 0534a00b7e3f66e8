"""Logos and colours that somebody sends: only what a picture says is kept, only what can be read is taken."""

from __future__ import annotations

from io import BytesIO

import pytest
from django.core.exceptions import ValidationError
from PIL import Image, PngImagePlugin

from agency.reports.looks import BOX, check_colour, contrast_with_white, logo_png


def picture(kind: str = "PNG", size: tuple[int, int] = (900, 300), **options: object) -> bytes:
    made = BytesIO()
    Image.new("RGB", size, "#7a1f5c").save(made, kind, **options)
    return made.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_drawn_anew_and_small(kind: str) -> None:
    with Image.open(BytesIO(logo_png(picture(kind)))) as made:
        assert made.format == "PNG" and made.width <= BOX[0] and made.height <= BOX[1]


def test_nothing_but_the_picture_is_kept() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "<script>alert(1)</script>")

    made = logo_png(picture(pnginfo=notes) + b"PK\x03\x04 another file <?php")

    assert b"script" not in made and b"php" not in made


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        picture()[:200],
        picture("GIF"),
        picture("BMP"),
    ],
    ids=["empty", "gif head", "svg", "cut off", "gif", "bmp"],
)
def test_what_is_no_such_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ValidationError, match="PNG, JPEG or WebP"):
        logo_png(data)


def test_too_many_bytes_and_too_many_pixels_are_refused() -> None:
    with pytest.raises(ValidationError, match="1 MB"):
        logo_png(b"\x89PNG" + bytes(1_000_001))
    with pytest.raises(ValidationError, match="4 million pixels"):
        logo_png(picture(size=(2001, 2000)))


@pytest.mark.parametrize(
    ("colour", "ratio"), [("#ffffff", 1.0), ("#000000", 21.0), ("#1d4f91", 8.1), ("#767676", 4.54)]
)
def test_contrast_is_that_of_the_standard(colour: str, ratio: float) -> None:
    assert contrast_with_white(colour) == pytest.approx(ratio, abs=0.06)


def test_a_colour_on_which_white_cannot_be_read_is_refused() -> None:
    check_colour("#767676")
    with pytest.raises(ValidationError, match=r"4\.5 : 1"):
        check_colour("#777777")
