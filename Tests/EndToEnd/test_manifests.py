"""Bad manifests: each with an error that names the place and the problem, from `tidegate validate`, with nothing applied."""

from __future__ import annotations

import subprocess
import tempfile
import unittest
from pathlib import Path

from product import manifests as m
from product.programs import programs

NODE = m.edge_node("edge", "198.18.1.2")


def binding(**changes) -> dict:
    return {**m.tcp("web", 8080, "10.96.0.20", 8080), **changes}


class ManifestTests(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.tidegate = programs().tidegate

    def validate(self, text: str | bytes) -> subprocess.CompletedProcess[str]:
        file = self.folder / "manifest.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return subprocess.run([self.tidegate, "validate", str(file)], capture_output=True, text=True, errors="replace", timeout=20)

    def assert_rejected(self, text: str | bytes, *words: str) -> str:
        """Exits with non-zero, quickly, and says all these words in a readable message."""
        done = self.validate(text)
        said = done.stdout + done.stderr
        self.assertGreater(done.returncode, 0, f"accepted, or killed by a signal ({done.returncode}):\n{said}")
        for word in ("manifest.yaml", *words):
            self.assertIn(word, said)
        self.assertNotIn("Fatal error", said)
        return said

    def test_good_manifest_passes(self) -> None:
        done = self.validate(m.text(NODE, m.port_binding("web", "edge", binding())))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_wrong_type(self) -> None:
        self.assert_rejected(m.text(m.port_binding("web", "edge", binding(listenPort="eighty"))), "listenPort", "eighty")

    def test_unknown_field_names_the_nearest_known_one(self) -> None:
        self.assert_rejected(m.text(m.port_binding("web", "edge", binding(listenport=80))), "listenport", "listenPort")

    def test_all_errors_of_a_file_at_once(self) -> None:
        bad = m.port_binding("web", "edge", binding(listenPort=0), binding(name="B_A_D", protocol="SCTP"))
        self.assert_rejected(m.text(bad), "bindings[0].listenPort", "bindings[1].name", "bindings[1].protocol")

    def test_yaml_bomb(self) -> None:
        levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
        self.assert_rejected("l0: &l0 [x, x]\n" + "\n".join(levels) + "\n")

    def test_deep_nesting(self) -> None:
        self.assert_rejected("[" * 100_000 + "]" * 100_000)

    def test_not_text(self) -> None:
        self.assert_rejected(b"apiVersion: \xff\xfe\n")
        self.assert_rejected(b"apiVersion: a\x00b\n")

    def test_names_that_would_harm_a_shell_a_path_or_a_file(self) -> None:
        for hostile in ("$(reboot)", "`reboot`", "a'b", 'a"b', "a\nb", "../../etc/passwd", "a/b", "-rf", "a b", ";reboot", "x\u0000y"):
            with self.subTest(hostile=hostile):
                for path, manifest in (
                    ("metadata.name", m.edge_node(hostile, "198.18.1.2")),
                    ("spec.address", m.edge_node("edge", hostile)),
                    ("spec.ssh.user", m.edge_node("edge", "198.18.1.2", ssh={"user": hostile})),
                    ("spec.ssh.secretRef.name", m.edge_node("edge", "198.18.1.2", secret=hostile)),
                    ("spec.edgeNodeRef.name", m.port_binding("web", hostile, binding())),
                    ("spec.bindings[0].name", m.port_binding("web", "edge", binding(name=hostile))),
                    ("spec.bindings[0].target.address", m.port_binding("web", "edge", m.tcp("web", 80, hostile, 80))),
                    ("spec.bindings[0].tls.hostnames[0]", m.port_binding("web", "edge", binding(tls=m.passthrough(hostile)))),
                ):
                    # A file with a NUL is no manifest at all: its line is named, and no field of it is read.
                    said = self.assert_rejected(m.text(manifest), "NUL" if "\0" in hostile else path)
                    self.assertFalse(any(ord(letter) < 32 and letter not in "\n\t" for letter in said), f"control characters in {said!r}")

    def test_reserved_ports(self) -> None:
        for port in (40500, 40600):
            self.assert_rejected(m.text(m.port_binding("web", "edge", binding(listenPort=port))), "listenPort", str(port))

    def test_duplicate_port_names_both_owners(self) -> None:
        objects = m.text(NODE, m.ssh_secret("vps-ssh", privateKey="x", knownHosts="y"), m.port_binding("first", "edge", binding()),
                         m.port_binding("second", "edge", binding(name="web2")))
        (self.folder / "manifest.yaml").write_text(objects)
        done = subprocess.run([self.tidegate, "render", "--manifests", str(self.folder)], capture_output=True, text=True, timeout=20)
        said = done.stdout + done.stderr
        for word in ("default/first", "default/second", "8080"):
            self.assertIn(word, said)
