"""One VPS whose login tests change again and again; each change is met by a connection made after it."""

from __future__ import annotations

from product.traffic import eventually
from stage import EndToEnd


class Logins(EndToEnd):
    number = 0

    def file(self, path: str, text: str) -> None:
        """Written to the VPS, and as it was before when the test ends."""
        root = self.lab.vps.root
        before = (root / path[1:]).read_text() if (root / path[1:]).exists() else None
        self.lab.vps.exec(["tee", path], input=text)
        if before is None:
            self.addCleanup(self.lab.vps.exec, ["rm", path])
        else:
            self.addCleanup(self.lab.vps.exec, ["tee", path], input=before)

    def shell(self, path: str) -> None:
        self.lab.vps.exec(["usermod", "--shell", path, "root"])
        self.addCleanup(self.lab.vps.exec, ["usermod", "--shell", "/bin/bash", "root"])

    def log_in_anew(self, **secret: str) -> int:
        """The Secret is another, so that a connection of its own is made; with these values. Returns the length of the log before."""
        Logins.number += 1
        before = len(self.standalone.log_text())
        self.standalone.write_node(ssh={"connectTimeout": "5s"}, secret={"note": str(Logins.number)} | secret)
        return before

    def enrolled(self, before: int) -> dict:
        """What `Enrolled` says once a connection was tried since; see `log_in_anew`."""
        _, connects, since = self.standalone.log_text()[before:].partition("connecting")
        self.assertTrue(connects and "reconciled" in since, "no new connection")
        return self.standalone.condition("EdgeNode", "edge", "Enrolled")

    def assert_said(self, status: str, reason: str | None, *words: str, **secret: str) -> None:
        """By a connection made from now on, with these values in the Secret."""
        before = self.log_in_anew(**secret)

        def is_said() -> bool:
            said = self.enrolled(before)
            self.assertEqual(said.get("status"), status, said)
            if reason:
                self.assertEqual(said.get("reason"), reason, said)
            for word in words:
                self.assertIn(word, said["message"])
            return True

        eventually(is_said, within=40)

    def assert_works(self, **secret: str) -> None:
        self.assert_said("True", None, **secret)

    def assert_told(self, reason: str, *words: str, **secret: str) -> None:
        self.assert_said("False", reason, *words, **secret)
