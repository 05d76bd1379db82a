"""The back-off of restarts, as a kubelet's: 0, 10, 20, … 300 s, forgotten after ten minutes without one."""

from __future__ import annotations

import unittest

from cluster.restarts import Backoff


class Restarts(unittest.TestCase):
    def pauses(self, lives: list[float]) -> list[float]:
        """What is waited after each of these lives, one after the other."""
        backoff, clock, found = Backoff(), 1000.0, []
        for life in lives:
            clock += life
            pause = backoff.pause(clock)
            found.append(pause)
            backoff = backoff.after(clock, clock + pause)
            clock += pause
        return found

    def test_they_double_up_to_five_minutes(self) -> None:
        self.assertEqual(self.pauses([1] * 8), [0, 10, 20, 40, 80, 160, 300, 300])

    def test_ten_quiet_minutes_are_forgiven(self) -> None:
        self.assertEqual(self.pauses([1, 1, 1, 601, 1, 1]), [0, 10, 20, 0, 10, 20])

    def test_less_is_not(self) -> None:
        self.assertEqual(self.pauses([1, 1, 1, 599, 1]), [0, 10, 20, 40, 80])
