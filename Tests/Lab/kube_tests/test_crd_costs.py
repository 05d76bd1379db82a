"""A kube-apiserver refuses a definition whose rules could cost too much: those of crds/ keep well below."""

from __future__ import annotations

import math
import unittest
from pathlib import Path

import yaml

from kube.celcosts import DEFINITION_LIMIT, RULE_LIMIT, costs, estimate

CRDS = Path(__file__).resolve().parents[3] / "crds"


class Costs(unittest.TestCase):
    def test_rules_keep_below_the_limits(self) -> None:
        for file in sorted(CRDS.glob("*.yaml")):
            schema = yaml.safe_load(file.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            found = costs(schema)
            self.assertGreater(len(found), 5 if "remoteservices" in file.name else 10)
            for path, most in found.items():
                with self.subTest(file.name, path=path):
                    # Half of it: the API server's next release may reckon a little otherwise.
                    self.assertLess(most, RULE_LIMIT / 2)
            self.assertLess(sum(found.values()), DEFINITION_LIMIT / 2, file.name)

    def test_the_reckoning_itself(self) -> None:
        text = {"type": "string", "maxLength": 10}
        self.assertEqual(estimate("self == 'abc'", text), 1 + 1)
        self.assertEqual(estimate("self.matches('12345678')", text), 1 + 5 * 2)
        self.assertEqual(estimate("self.split('.')[0].matches('a')", text), math.inf)
        names = {"type": "array", "maxItems": 100, "items": {"type": "string", "maxLength": 100}}
        # 100 times 100 comparisons of 40 and a bit: what keeps the rule for host names out.
        self.assertGreater(estimate("self.all(x, self.exists(y, x == y))", names), 400_000)
        self.assertEqual(estimate("self.all(k, k.matches('1234'))", {"type": "object", "maxProperties": 2, "additionalProperties": text}), 1 + 2 * (3 + 2) + 1)
