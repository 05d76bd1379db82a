"""`python3 -m cluster.beside SANDBOX-FILE COMMAND…`: a command in a running container, with its environment and rights, as `exec` probes are.

Its exit status is the command's. Killed, it takes the command along.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from . import system


def main(file: str, *command: str) -> int:
    specification = json.loads(Path(file).read_text())
    process = Path(specification["pid"]).read_text()
    # The mounts last: /proc is found by those that are left.
    for name, kind in (("ipc", system.CLONE_NEWIPC), ("uts", system.CLONE_NEWUTS), ("net", system.CLONE_NEWNET),
                       ("pid", system.CLONE_NEWPID), ("mnt", system.CLONE_NEWNS)):
        system.setns(f"/proc/{process}/ns/{name}", kind)
    child = os.fork()
    if child == 0:
        try:
            os.chdir(specification["workingDir"])
            system.take_rights(specification)
            system.die_with_parent()  # a change of user would have cleared it
            os.execvpe(command[0], list(command), specification["env"])
        except BaseException as error:  # the only way out of a forked child is this one
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(126)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
