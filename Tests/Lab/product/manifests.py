"""Manifests as plain values, and their text."""

from __future__ import annotations

import base64
from typing import Any

import yaml

from lab.certificates import Certificate

API_VERSION = "tunnel.achetronic.com/v1alpha1"
Manifest = dict[str, Any]


def text(*objects: Manifest) -> str:
    """One YAML file with these objects, in their given order."""
    return yaml.safe_dump_all(objects, sort_keys=False, width=10_000)


def edge_node(name: str, address: str, *, secret: str = "vps-ssh", namespace: str = "default", ssh: dict | None = None,
              **spec: Any) -> Manifest:
    """`spec` adds whole blocks: tunnel, uplink, edge, host."""
    return {
        "apiVersion": API_VERSION, "kind": "EdgeNode", "metadata": {"name": name, "namespace": namespace},
        "spec": {"address": address, "ssh": {"secretRef": {"name": secret}, **(ssh or {})}, **spec},
    }


def port_binding(name: str, node: str, *bindings: dict, namespace: str = "default") -> Manifest:
    return {
        "apiVersion": API_VERSION, "kind": "PortBinding", "metadata": {"name": name, "namespace": namespace},
        "spec": {"edgeNodeRef": {"name": node}, "bindings": list(bindings)},
    }


def tcp(name: str, listen: int, target: str, port: int, *, tls: dict | None = None, **options: Any) -> dict:
    """A TCP binding to an address. `options` are those of its `tcp` block."""
    return _binding(name, "TCP", listen, {"address": target, "port": port}, {"tcp": options or None, "tls": tls})


def udp(name: str, listen: int, target: str, port: int, **options: Any) -> dict:
    """A UDP binding to an address. `options` are those of its `udp` block."""
    return _binding(name, "UDP", listen, {"address": target, "port": port}, {"udp": options or None})


def tcp_to_service(name: str, listen: int, service: str, port: int, *, namespace: str = "default") -> dict:
    return _binding(name, "TCP", listen, {"service": {"name": service, "namespace": namespace, "port": port}}, {})


def _binding(name: str, protocol: str, listen: int, target: dict, blocks: dict[str, dict | None]) -> dict:
    filled = {key: block for key, block in blocks.items() if block is not None}
    return {"name": name, "protocol": protocol, "listenPort": listen, **filled, "target": target}


def passthrough(*hostnames: str) -> dict:
    return {"mode": "passthrough", **({"hostnames": list(hostnames)} if hostnames else {})}


def offload(secret: str, *hostnames: str) -> dict:
    return {"mode": "offload", "secretRef": {"name": secret}, **({"hostnames": list(hostnames)} if hostnames else {})}


def mutual(secret: str, *hostnames: str) -> dict:
    return {"mode": "mutual", "secretRef": {"name": secret}, **({"hostnames": list(hostnames)} if hostnames else {})}


def ssh_secret(name: str, *, namespace: str = "default", **values: str) -> Manifest:
    """`values`: privateKey, knownHosts, password, passphrase."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "stringData": values}


def tls_secret(name: str, certificate: Certificate, *, ca: str | None = None, namespace: str = "default") -> Manifest:
    values = {"tls.crt": certificate.certificate_text, "tls.key": certificate.key_text}
    if ca is not None:
        values["ca.crt"] = ca
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def service(name: str, address: str, *ports: int, namespace: str = "default", protocol: str = "TCP") -> Manifest:
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": address, "ports": [{"name": f"p{port}", "port": port, "protocol": protocol} for port in ports]},
    }
