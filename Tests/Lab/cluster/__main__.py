"""`python3 -m cluster INSTANCE KUBECONFIG`: the controllers and kubelets of the cluster in lab INSTANCE, until killed.

Runs in the first network namespace, where the others can be made; talks to the API server from the lab's home.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from lab.laboratory import Lab

from . import nodes
from .api import API
from .kubelet import Kubelets
from .manager import Manager


def main(instance: str, kubeconfig: str) -> None:
    lab = Lab(instance)
    api = API(lab.home, Path(kubeconfig), agent="tidegate-lab/kube-controller-manager")
    made = nodes.make(lab)
    Manager(api, made, Kubelets(lab, api, made)).start()
    print("cluster: at work", flush=True)
    threading.Event().wait()


main(*sys.argv[1:])
