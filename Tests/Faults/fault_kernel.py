"""The faults of uplinks anew with the kernel's WireGuard, which clusters have as a rule: first one of three uplinks is on a machine with a
kernel of its own, then the relay is. That is QEMU without KVM, so slow; what must follow is the same."""

from __future__ import annotations

import fault_clock
import fault_drift
import fault_path
import fault_uplinks
from registry import FAULTS, fault

_UPLINK = (fault_uplinks.killed, fault_uplinks.process_killed, fault_uplinks.link_cut, fault_uplinks.frozen, fault_uplinks.nat_rebinds,
           fault_uplinks.nat_moves, fault_uplinks.black_out, fault_path.mtu_black_hole, fault_drift.uplink_deleted)
_RELAY = (fault_uplinks.killed, fault_uplinks.nat_rebinds, fault_uplinks.nat_moves, fault_uplinks.black_out, fault_clock.uplink_clock_was_ahead)
# What a signal to the victim does to a machine.
_TO_A_MACHINE = {
    fault_uplinks.killed: ("uplink's machine loses power", "the power of the machine of one of 3 uplinks is cut, and comes back after 15 s"),
    fault_uplinks.frozen: ("uplink's machine frozen", "SIGSTOP to the machine of one of 3 uplinks, SIGCONT after 15 s"),
}

for function in _UPLINK:
    same = next(one for one in FAULTS if one.run is function)
    name, injected = _TO_A_MACHINE.get(function, (same.name, same.injected))
    fault(f"{name}, kernel WireGuard", same.group, injected=injected, expected=same.expected, stage="kernel uplink")(function)

for function in _RELAY:
    same = next(one for one in FAULTS if one.run is function)
    fault(f"{same.name}, kernel WireGuard on the VPS", same.group, injected=same.injected, expected=same.expected, stage="kernel relay")(function)
