"""Hosts that will not do: each is refused in one sentence with its cause and what to do."""

from __future__ import annotations

from stage import EndToEnd, Stage, fresh

_SHELL_32 = "#!/bin/sh\nexec setarch i686 /bin/sh \"$@\"\n"


class UnfitHosts(EndToEnd):
    @classmethod
    def make_stage(cls) -> Stage:
        return fresh()

    def assert_refused_for(self, *words: str) -> None:
        self.standalone.write_node()
        self.standalone.start()
        try:
            said = self.standalone.wait("EdgeNode", "edge", "Enrolled", "False", reason="UnsupportedHost", within=60)["message"]
        finally:
            self.standalone.stop()
            self.standalone.remove("node.yaml")
        for word in words:
            self.assertIn(word, said)
        self.assertLess(len(said), 400, said)

    def vps(self, *command: str, input: str | None = None) -> str:
        return self.lab.vps.exec(command, input=input)

    def mounted(self, *options: str) -> None:
        """/usr/local/lib on a file system of its own, until the test ends."""
        self.vps("mount", "-t", "tmpfs", *options, "tmpfs", "/usr/local/lib")
        self.addCleanup(self.vps, "umount", "/usr/local/lib")

    def test_32_bits(self) -> None:
        self.vps("install", "--mode=0755", "/dev/stdin", "/usr/local/bin/sh32", input=_SHELL_32)
        self.vps("usermod", "--shell", "/usr/local/bin/sh32", "root")
        self.addCleanup(self.vps, "usermod", "--shell", "/bin/bash", "root")
        self.assert_refused_for("Linux on i686", "x86-64")
        self.assertNotIn("tidegate", self.vps("ls", "-a", "/usr/local/lib"))

    def test_no_place_for_files(self) -> None:
        self.mounted("-o", "ro")
        self.assert_refused_for("/usr/local/lib is read-only", "mount it writable")

    def test_a_place_that_runs_nothing(self) -> None:
        self.mounted("-o", "noexec")
        self.assert_refused_for("the agent does not start from /usr/local/lib/tidegate", "Permission denied", "noexec")

    def test_neither_wireguard_nor_tun(self) -> None:
        self.vps("umount", "/dev/net/tun")
        self.vps("rm", "/dev/net/tun")
        self.assert_refused_for("the kernel has no WireGuard and the host no /dev/net/tun")
