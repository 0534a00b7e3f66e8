"""Mails as files, for an installation without a mail server: one file each."""

from __future__ import annotations

import os
from uuid import uuid4

from django.core.mail.backends import filebased
from django.utils.timezone import now


class EmailBackend(filebased.EmailBackend):
    """Django's own names its files by second and memory address: two mails of one second can end in one file."""

    _fname: str | None

    def _get_filename(self) -> str:
        if self._fname is None:
            self._fname = os.path.join(self.file_path, f"{now():%Y%m%d-%H%M%S}-{uuid4().hex[:12]}.log")
        return self._fname
