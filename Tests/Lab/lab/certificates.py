"""Certificate authorities and certificates for the lab's TLS servers and clients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .commands import run

_CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


@dataclass(frozen=True)
class Certificate:
    """A certificate (or a chain) and its key, as PEM files."""

    certificate: Path
    key: Path

    @property
    def certificate_text(self) -> str:
        return self.certificate.read_text()

    @property
    def key_text(self) -> str:
        return self.key.read_text()


class Authority:
    """A self-signed certificate authority in a folder of its own."""

    def __init__(self, folder: Path, name: str):
        self.folder = folder
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        self.root = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
        if not self.root.certificate.exists():
            run(["openssl", "req", "-x509", *_CURVE, "-keyout", str(self.root.key), "-out", str(self.root.certificate),
                 "-days", "30", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign"])

    def issue(self, file: str, *names: str, common_name: str | None = None) -> Certificate:
        """Issues a certificate for the DNS names given; without one it is a client's, known by its common name."""
        made = Certificate(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        usage = "serverAuth" if names else "clientAuth"
        extensions = ["basicConstraints=CA:FALSE", f"extendedKeyUsage={usage}"]
        if names:
            extensions.append("subjectAltName=" + ",".join(f"DNS:{name}" for name in names))
        argv = ["openssl", "req", "-x509", *_CURVE, "-keyout", str(made.key), "-out", str(made.certificate), "-days", "30",
                "-subj", f"/CN={common_name or (names[0] if names else file)}",
                "-CA", str(self.root.certificate), "-CAkey", str(self.root.key)]
        for extension in extensions:
            argv += ["-addext", extension]
        run(argv)
        return made
