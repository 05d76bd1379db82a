"""What stands between a login and its commands: profiles that print, other shells, forced commands, accounts without a shell."""

from __future__ import annotations

from lab import packages
from lab.network import VPS
from logins import Logins
from product import manifests as m
from product.traffic import eventually
from stage import Stage, fresh

# As the reports have them.
WELCOME = 'echo "Welcome to vps01"\n'
SSHRC = """echo '{"ok":true,"result":{"message_id":7}}'\n"""
CLOSED = ("no-port-forwarding,no-agent-forwarding,no-X11-forwarding,"
          "command=\"echo 'This account is closed; use debian instead.';sleep 2;exit 142\" ")
CLOUD = ("no-port-forwarding,no-agent-forwarding,no-X11-forwarding,"
         "command=\"echo 'Please login as the user \\\"debian\\\" rather than the user \\\"root\\\".';echo;sleep 1;exit 142\" ")


class Shells(Logins):
    """One Debian 12, enrolled once; each test changes root's login and has the controller log in anew."""

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        # libpcre2-32 is fish's alone; all else that these need is in every Debian.
        packages.add(stage.lab.vps, "fish", "fish-common", "libpcre2-32-0", "tcsh", "zsh", "zsh-common")
        for folder, text in (("/root/.bashrc", WELCOME), ("/etc/ssh/sshrc", SSHRC)):
            stage.lab.vps.exec(["tee", folder], input=text)
        stage.standalone.write_node(ssh={"connectTimeout": "5s"})
        stage.standalone.start()
        stage.standalone.wait("EdgeNode", "edge", within=120)
        return stage

    def test_1_a_login_that_prints(self) -> None:
        """It was enrolled through one; and again without a newline at the end, by every file, in great amounts."""
        self.assert_works()
        self.file("/root/.bashrc", "printf Welcome; head -c 30000 /dev/urandom | od | head -c 40000; " + WELCOME)
        self.file("/root/.profile", WELCOME)
        self.file("/etc/profile.d/motd.sh", WELCOME)
        self.assert_works()

    def test_1_what_goes_on_printing(self) -> None:
        """A job that a profile leaves behind writes into the report's stream, before it and after it."""
        self.file("/root/.bashrc", "(for i in 1 2 3 4 5 6 7 8; do echo \"tick $i\"; sleep 0.05; done) &\n")
        self.assert_works()

    def test_2_other_shells(self) -> None:
        for shell in ("/usr/bin/fish", "/bin/tcsh", "/usr/bin/zsh", "/bin/dash"):
            with self.subTest(shell):
                self.shell(shell)
                self.assert_works()

    def test_2_shells_that_print(self) -> None:
        self.file("/root/.cshrc", 'echo "Welcome, $user"\n')
        self.shell("/bin/tcsh")
        self.assert_works()
        self.file("/root/.zshenv", WELCOME)
        self.shell("/usr/bin/zsh")
        self.assert_works()

    def test_3_an_account_without_a_shell(self) -> None:
        self.shell("/usr/sbin/nologin")
        self.assert_told("LoginUnusable", "This account is currently not available.", "usermod --shell /bin/sh root")

    def test_3_forced_commands(self) -> None:
        key = (self.lab.vps.root / "root/.ssh/authorized_keys").read_text()
        for forced in (CLOSED, CLOUD):
            with self.subTest(forced):
                self.file("/root/.ssh/authorized_keys", "".join(forced + line + "\n" for line in key.splitlines()))
                self.assert_told("LoginUnusable", "instead" if forced is CLOSED else "rather than", "ssh.user: debian")

    def test_3_a_profile_that_exits(self) -> None:
        self.file("/root/.bashrc", "[ -t 0 ] || exit 0\n")
        self.assert_told("LoginUnusable", "ended with status 0", "a profile that exits")

    def test_3_an_expired_password(self) -> None:
        self.lab.vps.exec(["chpasswd"], input="root:long ago\n")
        self.lab.vps.exec(["chage", "--lastday", "0", "root"])
        self.addCleanup(self.lab.vps.exec, ["chage", "--lastday", "19000", "--maxdays", "-1", "root"])
        self.assert_told("LoginUnusable", "passwd root")

    def test_4_a_shell_that_waits_for_commands(self) -> None:
        """It gets none of ours, is told, and a teardown does not take its silence for an empty host."""
        self.file("/root/.bashrc", WELCOME + "exec /bin/sh\n")
        self.assert_told("LoginUnusable", "Welcome to vps01", "then waited for input", "exec zsh")
        self.standalone.remove("node.yaml")

        def holds_on() -> bool:
            said = self.standalone.condition("EdgeNode", "edge", "Ready")
            self.assertEqual(said.get("reason"), "LoginUnusable")
            self.assertIn("deletion", said["message"])
            return True

        eventually(holds_on, within=30)
        self.assertTrue(self.is_ours_there())

    def test_5_the_teardown_ends(self) -> None:
        """By a login that prints; a Secret that came anew is a reason to try at once."""
        self.standalone.write("secret.yaml", m.ssh_secret(
            "vps-ssh", privateKey=self.lab.operator_key.private_text, knownHosts=self.lab.known_hosts(VPS)))
        eventually(lambda: not self.is_ours_there() or self.fail("it is there"), within=60, every=0.5)

    def is_ours_there(self) -> bool:
        return (self.lab.vps.root / "etc/tidegate").exists() or (self.lab.vps.root / "usr/local/lib/tidegate").exists()
