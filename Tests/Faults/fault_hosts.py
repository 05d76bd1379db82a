"""Rows that end-to-end tests show, each on a VPS of its own: hosts of many kinds, restarts of Envoy, and what ours may do on a host."""

from __future__ import annotations

from registry import CHANGE, ENROLLMENT, HOST, HOSTS, RIGHTS, fault
from scenes import EndToEndTests

_WORKS = "enrolls; TCP and UDP flow; again after a reboot, without the controller; teardown leaves nothing"

_ROWS = (
    ("Debian 12, root", HOSTS, ("test_lifecycle.LifecycleTests",), "Debian 12 with systemd, root by SSH key", _WORKS),
    ("Debian 11, sudo with a password", HOSTS, ("test_hosts_logins.Debian11",),
     "ssh.user other than root, sudoPassword in the Secret, /tmp and /var/tmp noexec", _WORKS + "; the password is in no log, status or process list"),
    ("Debian 13, sudo without a password", HOSTS, ("test_hosts_logins.Debian13",),
     "ssh.user other than root and without a home, NOPASSWD, /tmp and /var/tmp noexec", _WORKS),
    ("sudo that refuses", HOSTS, ("test_hosts_logins.SudoRefusals",),
     "no password, a wrong one, no or too few rights, requiretty, a password that changes later",
     "each has its own reason and the next step; well again once it is right"),
    ("no systemd", HOSTS, ("test_without_systemd.WithoutSystemdTests",), "a Debian whose first process is not systemd",
     "Envoy under a keeper of ours, restarts are hot, whatever dies comes back; the status says that a reboot needs `edge-agent boot`, "
     "which brings all back; teardown leaves nothing"),
    ("kernel WireGuard", HOSTS, ("test_kernel_wireguard.KernelWireGuardTests",), "a VPS with its own kernel, in QEMU",
     "the status says kernel; TCP and UDP flow; again after a reboot, without the controller"),
    ("IPv6 alone", HOSTS, ("test_hosts_addresses.OneAddressFamily",), "a VPS without an IPv4 address; then a name of both families whose IPv4 is dead",
     "SSH, tunnel and listeners over IPv6"),
    ("dual stack, and a name that moves", HOSTS, ("test_hosts_addresses.MovingName",), "a name as address, whose IPv4 address changes",
     "listeners on both families; the uplinks find the new address by themselves"),
    ("re-imaged under the same address", HOSTS, ("test_hosts_addresses.Reimaged",), "a new disk, a new host key",
     "stops at the host key; enrolls whole once the new one is pinned, and the uplinks follow the new relay key"),
    ("a firewall of its own", HOSTS, ("test_hosts_firewall.Firewall",), "nftables with policy drop, and iptables beside it",
     "never touched; what would be dropped is named with the rule to add, which then helps"),
    ("a host that will not do", HOSTS, ("test_hosts_unfit.UnfitHosts",),
     "32 bits; /usr/local/lib read-only, or noexec; neither WireGuard nor /dev/net/tun", "refused in one sentence with the cause and what to do"),
    ("Envoy upgraded and restarted", CHANGE, ("test_envoy_restart.EnvoyRestartTests",),
     "another version and back, a restart on request, an Envoy that does not start, SIGKILL to each process; 200 held connections, a load of TCP and UDP",
     "hot: no connection is refused or breaks; plain only where it must be, and the event says why; one that does not start leaves the former serving"),
    ("rights on the VPS", RIGHTS, ("test_confinement.ConfinementTests",), "nothing: a look at an enrolled VPS",
     "Envoy is its own user with CAP_NET_BIND_SERVICE alone; units under 2.5 in `systemd-analyze security`; nothing of ours is writable by "
     "others; Envoy reads no key but those it serves; no core dumps"),
    ("keys and closed doors", RIGHTS, ("test_privacy.PrivacyTests",), "nothing: a look at an enrolled VPS, at home and from outside",
     "no key in a log, a command line or a world-readable file; the relay's stays on the VPS; nothing at home listens to the outside; the VPS reaches "
     "nothing but what is bound"),
    ("host key changed", ENROLLMENT, ("test_refusals.RefusalTests.test_host_key_changed",), "the VPS shows another host key than the pinned one",
     "refused before any credential is offered; the status names both"),
    ("wrong password, no such host", ENROLLMENT, ("test_hardship.HardshipTests.test_wrong_password_and_no_such_host_are_told_apart",),
     "a wrong password in the Secret; an address where nobody is", "told apart"),
    ("power cut during the pushes", HOST, ("test_hardship.HardshipTests.test_power_cut_during_the_pushes",), "the VPS dies while agent and Envoy arrive",
     "enrolled in the end; a file is whole or not there"),
)

for name, group, tests, injected, expected in _ROWS:
    def row(scene: EndToEndTests, tests: tuple[str, ...] = tests):
        return scene.passed(*tests)
    fault(name, group, injected=injected, expected=expected, stage="tests")(row)
