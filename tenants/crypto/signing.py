"""The installation's signature: Ed25519 (RFC 8032), its key derived from the secret key, so nothing more is kept."""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from django.conf import settings


def private_key() -> Ed25519PrivateKey:
    """HKDF-SHA256 (RFC 5869) of the secret key. A new secret key is a new signature; old files keep theirs."""
    seed = HKDF(hashes.SHA256(), 32, salt=None, info=b"retune passport 1").derive(settings.SECRET_KEY.encode())
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_pem() -> str:
    """What is given away once, by another way than the files themselves."""
    key = private_key().public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def fingerprint(pem: str) -> str:
    """SHA-256 of the key's 32 bytes, in hex. Raises ValueError for what is no Ed25519 key."""
    return hashlib.sha256(_read(pem).public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def sign(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(private_key().sign(data)).decode()


def is_signed(data: bytes, signature: str, pem: str) -> bool:
    """Raises ValueError for what is no key or no Base64."""
    try:
        _read(pem).verify(base64.b64decode(signature, validate=True), data)
    except InvalidSignature:
        return False
    return True


def _read(pem: str) -> Ed25519PublicKey:
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    return key
