"""When a container that ended is begun again: the kubelet's back-off, as values.

As kubernetes' pkg/kubelet/kuberuntime (doBackOff) and client-go's util/flowcontrol/backoff.go.
"""

from __future__ import annotations

from dataclasses import dataclass

INITIAL, LONGEST = 10, 300  # seconds: kubelet's backOffPeriod and MaxContainerBackOff
_FORGOTTEN = 2 * LONGEST


@dataclass(frozen=True)
class Backoff:
    """`wait`: seconds between the end of the container and its next begin, as of the begin at `begun`; 0 before the first restart."""

    wait: float = 0
    begun: float = 0

    def pause(self, ended: float) -> float:
        """Seconds to wait after an end at that time. None after the first end, and after ten minutes of quiet."""
        return 0 if self.wait == 0 or ended - self.begun > _FORGOTTEN else self.wait

    def after(self, ended: float, begun: float) -> "Backoff":
        """As it is once the container that ended then was begun again."""
        return Backoff(min(self.pause(ended) * 2 or INITIAL, LONGEST), begun)
