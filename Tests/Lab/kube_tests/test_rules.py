"""Validation rules: what they see, what they say, what they may cost."""

from __future__ import annotations

import unittest
from pathlib import Path
from typing import Any

import yaml

from kube import cel, celcosts, objects
from kube.definitions import resources
from kube.errors import ApiError
from kube.objects import Options

ROOT = Path(__file__).resolve().parents[3]


def said(schema: dict[str, Any], value: Any, *old: Any) -> list[str]:
    return [f"{error.field}: {error.message}" for error in cel.check(schema, value, "spec", *old)]


def rule(text: str, **more: Any) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": text, **more}]}


class Rules(unittest.TestCase):
    def test_message_reason_and_place(self) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, **rule("self.a > 1", message="too few", fieldPath=".a")}
        self.assertEqual(said(schema, {"a": 1}), ["spec.a: Invalid value: too few"])
        schema["x-kubernetes-validations"][0].update(reason="FieldValueForbidden", messageExpression="'got ' + string(self.a)")
        self.assertEqual(said(schema, {"a": 1}), ["spec.a: Forbidden: got 1"])
        self.assertEqual(said({"type": "integer", **rule("self > 1")}, 1), ["spec: Invalid value: 1: failed rule: self > 1"])

    def test_rules_that_fail_by_themselves(self) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "string"}}, **rule("self.a == 'x'", message="m")}
        self.assertEqual(said(schema, {}), ["spec: Invalid value: no such key: a evaluating rule: m"])

    def test_changes(self) -> None:
        item = {"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "string", **rule("self == oldSelf", message="fixed")}}}
        schema = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": item}
        old = [{"n": "a", "v": "1"}, {"n": "b", "v": "2"}]
        self.assertEqual(said(schema, [{"n": "c", "v": "9"}, {"n": "b", "v": "3"}], old), ['spec[1].v: Invalid value: "3": fixed'])
        schema["x-kubernetes-list-type"] = "atomic"
        self.assertEqual(said(schema, [{"n": "b", "v": "3"}], old), [])

    def test_what_did_not_change_is_not_held_against_new_rules(self) -> None:
        schema = {"type": "string", **rule("self != 'old'")}
        self.assertEqual(said(schema, "old", "old"), [])
        self.assertNotEqual(said(schema, "old", "other"), [])

    def test_names_that_are_words_of_cel(self) -> None:
        schema = {"type": "object", "properties": {"namespace": {"type": "string"}, "a-b": {"type": "string"}},
                  **rule("self.__namespace__ == self.a__dash__b", message="m")}
        self.assertEqual(said(schema, {"namespace": "x", "a-b": "x"}), [])
        self.assertEqual(said(schema, {"namespace": "x", "a-b": "y"}), ["spec: Invalid value: m"])

    def test_functions_that_kubernetes_adds(self) -> None:
        for text in ("isIP('10.0.0.1') && !isIP('x') && ip('::1').family() == 6", "cidr('10.0.0.0/8').containsIP('10.1.2.3')",
                     "cidr('10.1.0.0/16').prefixLength() == 16", "isURL('https://a/b') && url('https://a:1/b').getPort() == '1'",
                     "'abc'.find('[b-z]+') == 'bc'", "quantity('1Gi').isGreaterThan(quantity('500M'))", "[1, 3].sum() == 4 && [1, 2].isSorted()",
                     "!format.dns1123Label().validate('ok').hasValue()", "format.dns1123Label().validate('_').value().size() == 1",
                     "'a,b'.split(',').map(x, x.upperAscii()).join('-') == 'A-B'", "duration('1m30s') == duration('90s')"):
            with self.subTest(text):
                self.assertEqual(said({"type": "integer", **rule(text)}, 1), [])

    def test_fields_that_are_not_there_and_types_that_do_not_fit(self) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "string"}, "namespace": {"type": "string"}}}
        for text, why in (("self.b == 'x'", "undefined field 'b'"), ("self.namespace == 'x'", "undefined field 'namespace'"),
                          ("self.a == 1", "no matching overload for '_==_' applied to '(string, int)'")):
            with self.subTest(text):
                self.assertIn(why, celcosts.refusals({**schema, **rule(text)}, "spec")[0].message)

    def test_costs(self) -> None:
        def cost(text: str, **schema: Any) -> float:
            return celcosts.estimate(text, schema)

        # The figures of cel-go: 1 for a name, a tenth of the shorter side for a comparison of texts.
        self.assertEqual(cost("self == 'abcdefghij'", type="string", maxLength=10), 1 + 1)
        self.assertEqual(cost("self.contains('abcdefghijklmnopqrst')", type="string", maxLength=100), 1 + 40 * 2)
        unbounded = {"type": "array", "items": {"type": "string"}}
        pairs = "self.all(x, self.exists(y, x == y))"
        refused = celcosts.refusals({**unbounded, **rule(pairs)}, "spec")
        self.assertIn("estimated rule cost exceeds budget by factor of more than 100x", refused[0].message)
        bounded = {"type": "array", "maxItems": 100, "items": {"type": "string", "maxLength": 63}}
        self.assertEqual(celcosts.refusals({**bounded, **rule(pairs)}, "spec"), [])


class Definitions(unittest.TestCase):
    """Ours, as a kube-apiserver would take them."""

    def test_no_rule_is_too_dear_or_misspelt(self) -> None:
        for file in sorted((ROOT / "crds").glob("*.yaml")):
            schema = yaml.safe_load(file.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            with self.subTest(file.name):
                self.assertEqual(celcosts.refusals(schema, ""), [])
                self.assertGreater(len(celcosts.costs(schema)), 5)

    def test_samples_are_taken_and_a_broken_one_is_not(self) -> None:
        kinds = {}
        for file in sorted((ROOT / "crds").glob("*.yaml")):
            resource = resources(yaml.safe_load(file.read_text()))[0]
            kinds[resource.kind] = resource
        for file in sorted((ROOT / "deploy/samples").glob("[0-9]*.yaml")):
            for one in yaml.safe_load_all(file.read_text()):
                with self.subTest(file.name):
                    resource = kinds[one["kind"]]
                    objects.check(resource, objects.decode(resource, one, Options(validation="Strict")), None)
                    with self.assertRaises(ApiError):
                        objects.check(resource, objects.decode(resource, {**one, "spec": {}}, Options()), None)


if __name__ == "__main__":
    unittest.main()
