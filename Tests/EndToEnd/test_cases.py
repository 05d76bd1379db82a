"""The inputs of `Tests/CasesTests/Corpus` that only a host can be asked of, before enrolling and after; its manifests are played there."""

from __future__ import annotations

from pathlib import Path

from lab import keys
from lab.network import BACKEND, VPS
from logins import Logins
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import Stage, fresh

CORPUS = Path(__file__).resolve().parents[1] / "CasesTests" / "Corpus"
SSHD = "/etc/ssh/sshd_config.d/10-case.conf"


def case(name: str) -> str:
    return (CORPUS / name).read_text()


class Cases(Logins):
    """One Debian 12, enrolled through a login that prints by two files."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        for path, name in (("/root/.bashrc", "login-prints/root.bashrc"), ("/etc/ssh/sshrc", "login-prints/etc-ssh-sshrc")):
            stage.lab.vps.exec(["tee", path], input=case(name))
        stage.standalone.write_node(ssh={"connectTimeout": "5s"})
        stage.standalone.start()
        stage.standalone.wait("EdgeNode", "edge", within=120)
        return stage

    def sshd(self, name: str, more: str = "") -> None:
        """The lines of a case, in force for new connections until the test ends."""
        self.lab.vps.exec(["tee", SSHD], input=case(f"sshd/{name}") + more)
        self.lab.vps.exec(["systemctl", "reload", "ssh"])

        def undo() -> None:
            self.lab.vps.exec(["rm", SSHD])
            self.lab.vps.exec(["systemctl", "reload", "ssh"])
        self.addCleanup(undo)

    def test_every_case_is_played(self) -> None:
        found = {str(path.relative_to(CORPUS)) for path in CORPUS.rglob("*") if path.is_file()}
        self.assertEqual({name for name in found if not name.startswith("manifests/")}, {
            "README.md", "login-prints/root.bashrc", "login-prints/etc-ssh-sshrc", "login-prints/root.bashrc-exec",
            "forced-command/authorized_keys", "sshd/etm-macs-only", "sshd/max-auth-tries", "sshd/second-factor"})

    def test_login_prints(self) -> None:
        self.publish("web", m.port_binding("web", "edge", m.tcp("web", 7001, BACKEND, 7001)))
        eventually(lambda: traffic.whoami(self.lab.client, VPS, 7001), within=30)
        self.assert_works()

    def test_login_prints_and_becomes_another_shell(self) -> None:
        self.file("/root/.bashrc", case("login-prints/root.bashrc") + case("login-prints/root.bashrc-exec"))
        self.assert_told("LoginUnusable", "Welcome to vps01", "then waited for input")

    def test_forced_command(self) -> None:
        forced, _, _ = case("forced-command/authorized_keys").partition(" ssh-ed25519 ")
        keys = (self.lab.vps.root / "root/.ssh/authorized_keys").read_text()
        self.file("/root/.ssh/authorized_keys", "".join(f"{forced} {line}\n" for line in keys.splitlines()))
        self.assert_told("LoginUnusable", "This account is closed; use debian instead.", "ssh.user: debian")

    def test_sshd_max_auth_tries(self) -> None:
        """A stale key and the right password."""
        self.sshd("max-auth-tries", "PermitRootLogin yes\n")
        self.lab.vps.exec(["chpasswd"], input="root:right one\n")
        stale = keys.make(self.lab.folder / "stale", "stale").private_text
        self.assert_works(privateKey=stale, password="right one")
        self.assert_told("AuthenticationFailed", "password", privateKey=stale, password="wrong one")

    def test_sshd_second_factor(self) -> None:
        self.sshd("second-factor")
        self.assert_told("AuthenticationFailed", "second factor")

    def test_sshd_etm_macs_only(self) -> None:
        """libssh2 1.11 takes them, 1.10 does not and says what to do; here is Debian 12's, which is 1.10."""
        self.sshd("etm-macs-only")
        before = self.log_in_anew()
        said = eventually(lambda: self.enrolled(before), within=40)
        if said["status"] != "True":
            self.assertIn("hmac-sha2-512-etm@openssh.com", said["message"])
            self.assertIn("run this with libssh2 1.11 (Debian 13, as the images are)", said["message"])
