"""WireGuard's first message, made by hand: what a peer whose clock is wrong would send (WireGuard's paper, section 5.4)."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RESPONSE = 2  # the first byte of an answer: the message was taken


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2s(b"".join(parts)).digest()


def _keys(chain: bytes, data: bytes) -> tuple[bytes, bytes]:
    def mac(key: bytes, text: bytes) -> bytes:
        return hmac.new(key, text, hashlib.blake2s).digest()
    secret = mac(chain, data)
    first = mac(secret, b"\x01")
    return first, mac(secret, first + b"\x02")


def _public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def initiation(private_key: bytes, relay_public_key: bytes, at: float) -> bytes:
    """148 bytes, of the holder of `private_key`; `at`: what its clock says, in seconds since 1970."""
    own, ephemeral, relay = X25519PrivateKey.from_private_bytes(private_key), X25519PrivateKey.generate(), X25519PublicKey.from_public_bytes(relay_public_key)
    chain = _hash(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
    seen = _hash(_hash(chain, b"WireGuard v1 zx2c4 Jason@zx2c4.com"), relay_public_key)
    chain, _ = _keys(chain, _public(ephemeral))
    seen = _hash(seen, _public(ephemeral))
    chain, key = _keys(chain, ephemeral.exchange(relay))
    static = ChaCha20Poly1305(key).encrypt(bytes(12), _public(own), seen)
    seen = _hash(seen, static)
    chain, key = _keys(chain, own.exchange(relay))
    # TAI64N, as Linux and wireguard-go write it.
    stamp = struct.pack(">QI", 0x400000000000000A + int(at), 0)
    message = b"\x01\x00\x00\x00" + os.urandom(4) + _public(ephemeral) + static + ChaCha20Poly1305(key).encrypt(bytes(12), stamp, seen)
    return message + hashlib.blake2s(message, key=_hash(b"mac1----", relay_public_key), digest_size=16).digest() + bytes(16)
