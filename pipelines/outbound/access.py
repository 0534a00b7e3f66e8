"""How we make ourselves known to a server behind a proxy: a header, and a client certificate. Secrets never print."""

from __future__ import annotations

import base64
import re
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, 5.6.2
VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,7998}[\x21-\x7e])?")
# What frames the request or says whose it is belongs to the call itself.
OURS = frozenset({
    "host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive",
    "upgrade", "te", "trailer", "expect", "accept-encoding", "origin",
})  # fmt: skip
IN_MEMORY = Path("/dev/shm")


class AccessRefused(ValueError):
    """What was given cannot be used; `field` says which part of it."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True, repr=False)
class Access:
    """`header` and `value` go with every request. `certificate` (with its chain), `key` and `authority` are PEM texts;

    `authority` replaces the public certificate authorities for this server.
    """

    header: str = ""
    value: str = ""
    certificate: str = ""
    key: str = ""
    authority: str = ""

    def __repr__(self) -> str:
        return f"Access({', '.join(self.parts()) or 'none'})"

    @classmethod
    def bearer(cls, token: str, **tls: str) -> Access:
        """RFC 6750."""
        return cls("Authorization", f"Bearer {token}", **tls)

    @classmethod
    def basic(cls, user: str, password: str, **tls: str) -> Access:
        """RFC 7617. Raises AccessRefused for a user name with a colon."""
        if ":" in user:
            raise AccessRefused("user", "A user name with a colon cannot be sent: the colon ends it.")
        coded = base64.b64encode(f"{user}:{password}".encode()).decode()
        return cls("Authorization", f"Basic {coded}", **tls)

    @classmethod
    def of(cls, fields: Mapping[str, Any] | None) -> Access:
        """From what `fields()` gave; None is no access."""
        return cls(**fields) if fields else cls()

    def fields(self) -> dict[str, str]:
        """All of it, secrets too: for sealing, and for a child's standard input."""
        return asdict(self)

    def parts(self) -> list[str]:
        """What it holds, in words that may be shown."""
        said = [self.header] if self.header else []
        said += ["client certificate"] if self.certificate else []
        return said + (["own certificate authority"] if self.authority else [])

    def headers(self) -> dict[str, str]:
        return {self.header: self.value} if self.header else {}

    def checked(self) -> Access:
        """Itself. Raises AccessRefused for what no server could be sent."""
        if bool(self.header) != bool(self.value):
            raise AccessRefused("value", "A header needs a name and a value.")
        if self.header and (not TOKEN.fullmatch(self.header) or self.header.lower() in OURS):
            raise AccessRefused("header", f"{self.header} cannot be a header of ours: choose another name.")
        if self.value and not VALUE.fullmatch(self.value):
            raise AccessRefused("value", "A header's value is one line of plain ASCII characters.")
        if bool(self.certificate) != bool(self.key):
            raise AccessRefused("key", "A client certificate needs its key, and a key its certificate.")
        self._check_pem()
        return self

    def _check_pem(self) -> None:
        for field, text in (("certificate", self.certificate), ("authority", self.authority)):
            try:
                _ = x509.load_pem_x509_certificates(text.encode()) if text else []
            except ValueError:
                sentence = "This is no certificate in PEM form (-----BEGIN CERTIFICATE-----)."
                raise AccessRefused(field, sentence) from None
        if self.key:
            _check_pair(self.certificate, self.key)

    def tls(self) -> ssl.SSLContext:
        """Verifies names and certificates always; shows the client certificate where there is one."""
        if self.authority:
            context = ssl.create_default_context(cadata=self.authority)
        else:
            context = httpx2.create_ssl_context(verify=True, trust_env=False)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate:
            # OpenSSL reads certificates from files only: one of ours, mode 0600, gone when the block ends; in memory
            # where the system has such a place, so that a power cut leaves no open key on a disk.
            with tempfile.NamedTemporaryFile("w", suffix=".pem", dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as file:
                file.write(f"{self.key.strip()}\n{self.certificate.strip()}\n")
                file.flush()
                context.load_cert_chain(file.name)
        return context


def _check_pair(certificate: str, key: str) -> None:
    try:
        secret = load_pem_private_key(key.encode(), password=None)
    except TypeError:
        raise AccessRefused("key", "The key is protected by a pass phrase: give it without one.") from None
    except ValueError:
        raise AccessRefused("key", "This is no private key in PEM form (-----BEGIN PRIVATE KEY-----).") from None
    shown = x509.load_pem_x509_certificates(certificate.encode())[0]
    if shown.public_key() != secret.public_key():
        raise AccessRefused("key", "The key does not belong to the certificate.")
