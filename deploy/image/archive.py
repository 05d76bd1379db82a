"""An image as a file: an OCI layout (image-spec 1.0) with docker's manifest.json beside it, as `docker save` writes it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A file, folder (no content) or symbolic link of a layer; root's."""

    content: bytes = b""
    mode: int = 0o644
    is_folder: bool = False
    link: str = ""


Layer = dict[str, Entry]
"""By path, without a leading slash. Folders above an entry are made, 0755, where they are not in it."""


@dataclass(frozen=True)
class Image:
    # What changes seldom comes first: it need not be pulled again.
    layers: list[Layer]
    entrypoint: list[str]
    # UID:GID
    user: str
    description: str
    # Of the entry point, where the container is given none.
    arguments: list[str] = field(default_factory=list)


def write(file: Path, image: Image, name: str, tag: str) -> str:
    """Returns the digest of the image's manifest."""
    layers = [_tar(layer) for layer in image.layers]
    config = _json(_config(image, layers, name, tag))
    manifest = _json({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
        # Not compressed: registries' clients do that, and the bytes depend on no version of a compressor.
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer) for layer in layers],
    })
    index = _json({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            **_descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
            "platform": {"architecture": "amd64", "os": "linux"},
            # The first is what containerd names the image by, the second what skopeo does.
            "annotations": {"io.containerd.image.name": f"{name}:{tag}", "org.opencontainers.image.ref.name": tag},
        }],
    })
    docker = _json([{
        "Config": _blob(config), "RepoTags": [f"{name}:{tag}"], "Layers": [_blob(layer) for layer in layers],
    }])
    outer: Layer = {_blob(content): Entry(content) for content in [config, manifest, *layers]}
    outer |= {"index.json": Entry(index), "manifest.json": Entry(docker), "oci-layout": Entry(_json({"imageLayoutVersion": "1.0.0"}))}
    partial = file.with_suffix(".partial")
    partial.write_bytes(_tar(outer))
    os.replace(partial, file)
    return f"sha256:{_sha256(manifest)}"


def _config(image: Image, layers: list[bytes], name: str, tag: str) -> dict:
    return {
        # The same inputs give the same image, whenever it is built.
        "created": "1970-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Entrypoint": image.entrypoint,
            "Cmd": image.arguments,
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": name.rsplit("/", 1)[-1],
                "org.opencontainers.image.description": image.description,
                "org.opencontainers.image.source": "https://github.com/achetronic/tunnel",
                "org.opencontainers.image.licenses": "Apache-2.0",
                "org.opencontainers.image.version": tag,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}" for layer in layers]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "deploy/image/build"} for _ in layers],
    }


def _tar(layer: Layer) -> bytes:
    """Sorted, root's, of 1970: nothing of the machine it was made on."""
    everything = dict(layer)
    for path in layer:
        for parent in list(Path(path).parents)[:-1]:
            everything.setdefault(str(parent), Entry(mode=0o755, is_folder=True))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, entry in sorted(everything.items()):
            info = tarfile.TarInfo(path)
            info.mode = entry.mode
            if entry.link:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
            elif entry.is_folder:
                info.type = tarfile.DIRTYPE
            info.size = len(entry.content)
            tar.addfile(info, io.BytesIO(entry.content))
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _blob(content: bytes) -> str:
    return f"blobs/sha256/{_sha256(content)}"


def _descriptor(media_type: str, content: bytes) -> dict:
    return {"mediaType": media_type, "digest": f"sha256:{_sha256(content)}", "size": len(content)}
