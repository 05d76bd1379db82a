"""What is true of a recorded status, held against requests: ten a second, answered (`+`) or not (`-`), a character for each second."""

from __future__ import annotations

import unittest

from cluster.recording import Line, judged, spans, story


def lines(*said: tuple[float, str]) -> list[Line]:
    return [Line(100 + at, "edgenodes", "edge", word.split()[0], word.partition(" ")[2], word) for at, word in said]


def requests(seconds: str) -> list[tuple[float, bool]]:
    return [(100 + second + tenth / 10, sign == "+") for second, sign in enumerate(seconds) for tenth in range(10)]


class Judging(unittest.TestCase):
    def wrong(self, said: list[Line], seconds: str, **options) -> list[str]:
        return judged(said, requests(seconds), 100 + len(seconds), **options)

    def test_a_status_that_follows_traffic_is_true(self) -> None:
        said = lines((0, "True"), (12, "False Down"), (24, "True"))
        self.assertEqual(self.wrong(said, "+" * 10 + "-" * 10 + "+" * 10), [])

    def test_ready_while_requests_fail(self) -> None:
        said = lines((0, "True"), (16, "False Down"), (24, "True"))
        found = self.wrong(said, "+" * 10 + "-" * 10 + "+" * 10)
        self.assertEqual(len(found), 1, found)
        self.assertIn("Ready True () while most requests failed", found[0])

    def test_an_outage_may_be_shorter_than_the_status_is_late(self) -> None:
        self.assertEqual(self.wrong(lines((0, "True")), "+" * 10 + "-" * 4 + "+" * 10), [])

    def test_ready_for_good_while_requests_fail(self) -> None:
        self.assertEqual(len(self.wrong(lines((0, "True")), "+" * 10 + "-" * 10)), 1)

    def test_not_ready_while_requests_are_answered(self) -> None:
        said = lines((0, "True"), (10, "False Down"), (26, "True"))
        found = self.wrong(said, "+" * 10 + "-" * 10 + "+" * 10)
        self.assertEqual(len(found), 1, found)
        self.assertIn("Ready False (Down) while all requests were answered", found[0])

    def test_one_that_tells_of_something_else_is_excused(self) -> None:
        said = lines((0, "True"), (10, "False Forbidden"), (26, "True"))
        self.assertEqual(self.wrong(said, "+" * 30, excused=lambda line: line.reason == "Forbidden"), [])
        self.assertEqual(len(self.wrong(said, "+" * 30)), 1)

    def test_a_flap_is_one_when_nothing_was_lost(self) -> None:
        said = lines((0, "True"), (10, "False Down"), (11, "True"))
        self.assertEqual(len(self.wrong(said, "+" * 20)), 1)
        self.assertEqual(self.wrong(said, "+" * 9 + "-" + "+" * 10), [])

    def test_what_is_short_at_the_end_is_no_flap(self) -> None:
        self.assertEqual(self.wrong(lines((0, "True"), (19, "False Down")), "+" * 20), [])

    def test_lines_that_change_nothing_begin_no_span(self) -> None:
        said = lines((0, "True A"), (1, "True B"), (2, "False C"), (3, "False D"))
        self.assertEqual([(one.since, one.until) for one in spans(said, 110)], [(100, 102), (102, 110)])
        self.assertEqual(story(said, 101, 110), "True; after 1.0 s False C")
