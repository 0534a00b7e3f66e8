"""A logo made safe and a colour that can be read: what an agency may put on its clients' pages."""

from __future__ import annotations

from io import BytesIO

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_BYTES = 1_000_000
MOST_PIXELS = 4_000_000  # A picture of 100 KB can claim to be a billion pixels.
BOX = (480, 160)
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3: white text on the colour.


def logo_png(data: bytes) -> bytes:
    """The picture anew: a PNG of at most 480 x 160 without metadata. Raises ValidationError with a sentence.

    Decoded by three decoders only. Nothing of the file itself is kept: no comments, no second file behind the picture.
    """
    if len(data) > MOST_BYTES:
        raise ValidationError(_("The logo is larger than 1 MB. Send a smaller picture."))
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ValidationError(_("The logo has more than 4 million pixels. Send a smaller picture."))
            return _encoded(opened)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise ValidationError(_("This is no picture that can be read. Send a PNG, JPEG or WebP file.")) from problem


def _encoded(opened: Image.Image) -> bytes:
    picture = opened.convert("RGBA")
    picture.thumbnail(BOX)
    made = BytesIO()
    Image.frombytes("RGBA", picture.size, picture.tobytes()).save(made, "PNG", optimize=True)
    return made.getvalue()


def contrast_with_white(colour: str) -> float:
    """The ratio of WCAG 2.2 between white and `#rrggbb`: 1 to 21."""
    return 1.05 / (luminance(colour) + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2): 0 is black, 1 is white."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def check_colour(colour: str) -> None:
    ratio = contrast_with_white(colour)
    if ratio < LEAST_CONTRAST:
        raise ValidationError(
            _("White text on %(colour)s has a contrast of %(ratio).1f : 1; 4.5 : 1 is needed. Choose a darker colour.")
            % {"colour": colour, "ratio": ratio}
        )
