"""Decisions of the StatefulSet controller about pods that it did not make."""

from __future__ import annotations

import unittest
from datetime import datetime, timezone
from typing import Any

from cluster import statefulsets


def owner(uid: str = "new", **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "a", "uid": uid, **meta}, "spec": {
        "replicas": 2, "podManagementPolicy": "Parallel", "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}}}}


def orphan(name: str, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "a", "labels": {"app": "web"}, **meta}, "spec": {}}


class Adoption(unittest.TestCase):
    def names(self, *pods: dict[str, Any], of: dict[str, Any] | None = None) -> list[str]:
        return [one["metadata"]["name"] for one in statefulsets.adopted(of or owner(), list(pods))]

    def test_orphans_of_its_name_and_labels_are_taken(self) -> None:
        self.assertEqual(self.names(orphan("web-0"), orphan("web-11")), ["web-0", "web-11"])

    def test_others_are_not(self) -> None:
        theirs = [{"kind": "StatefulSet", "name": "web", "uid": "old", "controller": True}]
        for pod in (orphan("web-0", labels={"app": "other"}), orphan("api-0"), orphan("web-x"), orphan("web-0", namespace="b"),
                    orphan("web-0", ownerReferences=theirs), orphan("web-0", deletionTimestamp="2026-11-28T00:00:00Z")):
            self.assertEqual(self.names(pod), [], pod)

    def test_one_that_ends_takes_nothing(self) -> None:
        self.assertEqual(self.names(orphan("web-0"), of=owner(deletionTimestamp="2026-11-28T00:00:00Z")), [])

    def test_a_successor_makes_all_pods_anew(self) -> None:
        old = statefulsets.make_pod(owner("old"), 0, "r")
        self.assertEqual(statefulsets.owned(owner("new"), [old]), [])
        decision = statefulsets.decide(owner("new"), [], datetime.now(timezone.utc))
        self.assertEqual([one["metadata"]["name"] for one in decision.create], ["web-0", "web-1"])
