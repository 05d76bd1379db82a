"""A CA, the certificate of the server and those of users, made by openssl."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Sequence

from lab.commands import run

_DAYS = "2"


def make_authority(folder: Path) -> None:
    if not (folder / "ca.crt").exists():
        _key(folder / "ca.key")
        run(["openssl", "req", "-x509", "-new", "-key", str(folder / "ca.key"), "-days", _DAYS, "-subj", "/CN=kubernetes", "-out", str(folder / "ca.crt"),
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,digitalSignature"])


def make_server(folder: Path, addresses: Sequence[str], names: Sequence[str]) -> None:
    known = [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]
    _sign(folder, "server", "/CN=kube-apiserver", ["extendedKeyUsage=serverAuth", "subjectAltName=" + ",".join(known)])


def make_user(folder: Path, file: str, name: str, groups: Sequence[str]) -> None:
    """file.crt and file.key: the certificate of a user."""
    subject = "".join(f"/O={group}" for group in groups) + f"/CN={name}"
    _sign(folder, file, subject, ["extendedKeyUsage=clientAuth"])


def _key(path: Path) -> None:
    old = os.umask(0o077)
    try:
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path)])
    finally:
        os.umask(old)


def _sign(folder: Path, file: str, subject: str, extensions: Sequence[str]) -> None:
    key, request, extra = folder / f"{file}.key", folder / f"{file}.csr", folder / f"{file}.ext"
    _key(key)
    extra.write_text("\n".join(["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", *extensions]) + "\n")
    run(["openssl", "req", "-new", "-key", str(key), "-subj", subject, "-out", str(request)])
    run(["openssl", "x509", "-req", "-in", str(request), "-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial",
         "-days", _DAYS, "-extfile", str(extra), "-out", str(folder / f"{file}.crt")])
    request.unlink()
    extra.unlink()
