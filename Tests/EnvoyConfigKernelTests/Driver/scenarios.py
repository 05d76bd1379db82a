"""`scenarios.py NAME ROOT ENVOY AGENT`: plays a scenario against a real Envoy and prints what was seen as one JSON object.

ROOT holds `config`, Envoy's working directory, further folders to be put in place during the play, and `settings.json`.
"""
import http.client
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

from edge import RELAY, Backends, Envoy, Namespaces, ask, connect, connect_from, datagram_socket, echoes, run

CLUSTERS_OF_MODES = ["plain", "proxy1", "proxy2", "dns", "big", "pass-a", "pass-wild", "ended", "known", "pass-all"]


def tls(name, port, server_name, client=None, maximum=None):
    """The subject of the certificate seen, `refused`, or `other answer` when the echo is not right."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if maximum:
        context.maximum_version = maximum
        context.set_ciphers("ALL:@SECLEVEL=0")
    if client:
        context.load_cert_chain(f"{client}.crt", f"{client}.key")
    try:
        with context.wrap_socket(connect(port), server_hostname=server_name) as sock:
            if ask(sock, name.encode()) != name:
                return "refused"
            subject = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject"], check=True,
                                     input=sock.getpeercert(True), stdout=subprocess.PIPE).stdout.decode()
            return subject.strip().removeprefix("subject=CN = ")
    except (OSError, ValueError):
        return "refused"


def modes(envoy, play):
    start = envoy.start()
    for name in CLUSTERS_OF_MODES:
        envoy.wait(lambda: envoy.healthy(name) == 2, f"{name} to be healthy")
    requests = set(Path(play["controls"][0] + ".log").read_bytes().splitlines())
    both = ("127.0.0.1", "::1")
    facts = {
        "listeners": sorted(line.split("::")[0] for line in envoy.admin("/listeners")[1].splitlines()),
        "rejected": {k: v for k, v in envoy.stats("update_(rejected|failure)$").items() if v},
        "inotify": envoy.inotify_instances(),
        "fast start": start < 2,
        "plain": [echoes(connect(8080, host), 1 << 20) for host in both],
        "proxy1": [ask(connect(8081, host)) for host in both],
        "proxy2": [ask(connect(8082, host))[:16] for host in both],
        "probes": sorted(line.decode() for line in requests),
        "datagrams": [[size, echoes(datagram_socket(port, host), size)]
                      for port, sizes in ((8053, (1, 1400, 1500, 9000)), (8054, (9000, 9001))) for size in sizes
                      for host in both],
        "pass-a": tls("x", 8443, "a.test"),
        "pass-wild": tls("x", 8443, "deep.wild.test"),
        "third name": tls("x", 8443, "third.test"),
        "no name": tls("x", 8443, None),
        "ended": tls("x", 8443, "ended.test"),
        "ended in capitals": tls("x", 8443, "ENDED.test"),
        "TLS 1.1": tls("x", 8443, "ended.test", maximum=ssl.TLSVersion.TLSv1_1),
        "known": tls("x", 8443, "known.test", client=play["certificates"] + "/client"),
        "known without": tls("x", 8443, "known.test"),
        "known with another": tls("x", 8443, "known.test", client=play["certificates"] + "/stranger"),
        "pass-all": tls("x", 8444, "any.test"),
        "pass-all in clear": ask(connect(8444), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    }
    first, second = datagram_socket(8053), datagram_socket(8053)
    ports = [ask(first, b"who"), ask(second, b"who"), ask(first, b"who")]
    facts["sessions"] = ports[0] == ports[2] != ports[1]
    return facts


def bridge(envoy, play):
    envoy.start()

    def status(line):
        with connect(40600, RELAY) as sock:
            answer = ask(sock, f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return int(answer.split(" ")[1]) if answer.startswith("HTTP/1.1 ") else 0

    def body(path):
        connection = http.client.HTTPConnection(RELAY, 40600, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().read().decode()

    envoy.wait(lambda: status("GET /ready") == 200, "the bridge to answer")
    everything = "".join(
        body(path)
        for path in ("/config_dump?include_eds", "/certs", "/server_info", "/clusters?format=json", "/listeners?format=json"))
    facts = {
        "allowed": {path: status("GET " + path) for path in play["allowed"]},
        "refused": {line: status(line) for line in play["refused"]},
        "keys told": [word for word in play["secret words"] if word in everything],
        "dump tells": "dynamic_active_clusters" in everything,
        "alive": envoy.process.poll() is None and envoy.admin("/ready")[0] == 200,
        "admin mode": oct(os.stat(envoy.root / "envoy-admin.sock").st_mode & 0o777),
    }
    return facts


def updates(envoy, play):
    """A binding added, changed and removed beside others; a certificate rotated; the held connections of the others live."""
    envoy.start("--drain-time-s", "3")
    for name in ("plain", "ended", "dns"):
        envoy.wait(lambda: envoy.healthy(name) == 2, f"{name} to be healthy")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain, ended, dns = connect(8080), context.wrap_socket(connect(8443), server_hostname="ended.test"), datagram_socket(8053)
    session = ask(dns, b"who")

    def alive():
        return [ask(plain), ask(ended), ask(dns, b"who") == session]

    facts = {"before": alive()}
    seconds = envoy.put("added")
    began = time.monotonic()
    while ask(connect(8090)) != "hello":
        time.sleep(0.01)
    facts["added: first byte in 1 s"] = seconds + time.monotonic() - began < 1
    facts["added: held"] = alive()
    facts["keepalive"] = {port: "timer:(keepalive" in subprocess.run(
        ["ss", "-Htno", f"sport = :{port}" if port == 8080 else f"dport = :{port}"], check=True,
        stdout=subprocess.PIPE).stdout.decode().splitlines()[0] for port in (8080, 18080)}
    facts["added: new name on the port"] = tls("x", 8443, "more.test")
    added = connect(8090)
    ask(added)
    facts["in place"] = envoy.stats("listener_in_place_updated")["listener_manager.listener_in_place_updated"]

    envoy.put("changed")
    time.sleep(0.5)
    facts["changed: held"] = alive()
    facts["changed: own connection"] = ask(added)
    facts["changed: clusters"] = envoy.stats("cluster_manager.cluster_modified")["cluster_manager.cluster_modified"]

    envoy.put("rotated")
    envoy.wait(lambda: tls("x", 8443, "ended.test") == "rotated.test", "the new certificate")
    for file in (envoy.files / "tls").glob("ended-*"):
        if not (envoy.root / "rotated" / "tls" / file.name).exists():
            file.unlink()
    facts["rotated: held"] = alive()
    facts["rotated: seen after the old files went"] = tls("x", 8443, "ended.test")

    envoy.put("config-0")
    envoy.wait(lambda: "tcp-8090" not in envoy.admin("/listeners")[1], "the listener to go")
    facts["removed: held"] = alive()
    facts["removed: own connection drains"] = [ask(added)]
    envoy.wait(lambda: ask(added) == "closed", "the drained connection to be closed")
    facts["removed: own connection drains"].append("closed")
    facts["removed: others after the drain"] = alive()
    facts["rejected"] = {k: v for k, v in envoy.stats("update_(rejected|failure)$").items() if v}
    return facts


def replicas(envoy, play):
    """Uplinks come and go: sessions live, the dead are found, one that comes back is used again."""
    envoy.start()
    controls = [Path(path) for path in play["controls"]]
    for name in ("plain", "dns"):
        envoy.wait(lambda: envoy.healthy(name) == 2, f"{name} to be healthy")
    plain, dns = connect(8080), datagram_socket(8053)
    where, session = ask(plain, b"who"), ask(dns, b"who")
    facts = {"both used": len({ask(connect(8080), b"who").split(" ")[0] for _ in range(40)})}

    envoy.put("three")
    for name in ("plain", "dns"):
        envoy.wait(lambda: envoy.healthy(name) == 3, f"the third of {name}")
    facts["three: held"] = [ask(plain, b"who") == where, ask(dns, b"who") == session]
    facts["three: all used"] = len({ask(connect(8080), b"who").split(" ")[0] for _ in range(60)})

    controls[1].write_text("503")
    facts["503: out within an interval"] = envoy.wait(lambda: envoy.healthy("plain") == 2, "the second to go out") < 1.5
    facts["503: used"] = sorted({ask(connect(8080), b"who").split(" ")[0] for _ in range(40)})
    facts["503: held"] = [ask(plain, b"who") == where]
    controls[1].write_text("200")
    facts["200: back soon"] = envoy.wait(lambda: envoy.healthy("plain") == 3, "the second to come back") < 4

    controls[1].write_text("silent")
    facts["silent: out"] = envoy.wait(lambda: envoy.healthy("plain") == 2, "the silent one to go out") < 5

    envoy.put("config-0")
    # Until the new cluster has asked its silent uplink once, the old one serves, under the same names in the counters.
    envoy.wait(lambda: "plain::" + play["uplinks"][2] not in envoy.admin("/clusters")[1], "the third to go")
    facts["two: held"] = [ask(plain, b"who") == where]
    for control in controls:
        control.write_text("503")
    envoy.wait(lambda: envoy.healthy("plain") == 0, "all to be out")
    # The workers hear of it a moment after the counter.
    time.sleep(0.1)
    began = time.monotonic()
    facts["none: new connection"] = ask(connect(8080))
    facts["none: fails fast"] = time.monotonic() - began < 0.5
    facts["none: held"] = [ask(plain, b"who") == where]
    return facts


def refusals(envoy, play):
    """A listener that Envoy refuses, one whose port is taken, and a bad secret harm no other."""
    taken = socket.socket()
    taken.bind(("0.0.0.0", 8090))
    taken.listen()
    envoy.start()
    envoy.wait(lambda: envoy.healthy("plain") == 2, "plain to be healthy")
    plain = connect(8080)
    facts = {"before": ask(plain)}
    envoy.put("bad")
    time.sleep(0.3)
    dump = json.loads(envoy.admin("/config_dump?resource=dynamic_listeners")[1])["configs"]
    facts |= {
        "held": ask(plain),
        "new beside the bad": ask(connect(8092)),
        "counters": {name: envoy.stats(name).get(f"listener_manager.{name}", 0)
                     for name in ("lds.update_rejected", "lds.update_success", "listener_create_failure")},
        "listeners": sorted(line.split("::")[0] for line in envoy.admin("/listeners")[1].splitlines()),
        "errors": {c.get("name", "?"): c["error_state"].get("details", "") for c in dump if "error_state" in c},
    }
    return facts


def forms(envoy, play):
    """What the prober streams, and the same as JSON files: to Envoy it is one configuration."""
    def dump():
        seen = {}
        for kind, key in (("dynamic_listeners", "listener"), ("dynamic_active_clusters", "cluster")):
            for one in json.loads(envoy.admin(f"/config_dump?resource={kind}")[1])["configs"]:
                resource = one.get("active_state", one)[key]
                seen[f"{key} {resource['name']}"] = resource
        return seen
    envoy.start()
    streamed = dump()
    envoy.stop()
    envoy.prober = None
    bootstrap = json.loads((envoy.files / "bootstrap.json").read_text())
    for name in ("cds", "lds"):
        source = {"path_config_source": {"path": f"./{name}.json"}, "resource_api_version": "V3"}
        bootstrap["dynamic_resources"][f"{name}_config"] = source
    (envoy.files / "bootstrap.json").write_text(json.dumps(bootstrap))
    envoy.start()
    read = dump()
    return {"names": sorted(streamed), "differ": sorted(name for name in streamed.keys() | read.keys() if streamed.get(name) != read.get(name))}


def limits(envoy, play):
    """The global cap of connections, which the bridge is free of; the read-only, bound working directory; IPv6 turned off."""
    # In this process's own network namespace.
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    # The agent renames in its own folder; Envoy sees it through a read-only bind mount, as its unit sets it up.
    own = envoy.root / "own"
    os.rename(envoy.files, own)
    envoy.files.mkdir()
    run("mount", "--bind", own, envoy.files)
    run("mount", "-o", "remount,bind,ro", envoy.files)
    envoy.start()
    envoy.wait(lambda: envoy.healthy("plain") == 2, "plain to be healthy")
    held = [connect(8080) for _ in range(play["cap"])]
    facts = {
        "held": all(ask(sock) == "hello" for sock in held),
        "over the cap": ask(connect(8080)),
    }
    with connect(40600, RELAY) as sock:
        facts["bridge at the cap"] = ask(sock, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").split("\r\n")[0]
    for sock in held:
        sock.close()
    envoy.wait(lambda: ask(connect(8080)) == "hello", "room again")
    envoy.files = own
    facts["update through the bind mount"] = envoy.put("added") < 2
    envoy.wait(lambda: envoy.healthy("added") == 2, "the added to be healthy")
    facts["the added"] = ask(connect(8090))
    return facts


def attacks(envoy, play):
    """Strangers who say nothing, or too much, to one port; what the others have meanwhile."""
    envoy.start()
    for name in ("plain", "ended", "dns", "game"):
        envoy.wait(lambda: envoy.healthy(name) == 2, f"{name} to be healthy")
    sessions = [datagram_socket(8053) for _ in range(300)]
    known = datagram_socket(8053)
    facts = {"session before": ask(known)}
    for sock in sessions:
        sock.send(b"x")
    time.sleep(0.5)
    facts["sessions of the attacked"] = 90 <= envoy.stats("^udp.dns.downstream_sess_active$")["udp.dns.downstream_sess_active"] <= 104
    facts["session goes on"] = ask(known)
    facts["sessions of another"] = sum(ask(sock) == "hello" for sock in [datagram_socket(8054) for _ in range(50)])
    silent = [connect(8443) for _ in range(230)]
    time.sleep(0.3)
    others = [connect(8080) for _ in range(60)]
    facts["another port"] = sum(ask(sock) == "hello" for sock in others)
    for sock in silent + others:
        sock.close()
    envoy.wait(lambda: envoy.stats("downstream_(pre_)?cx_active$").get("listener.[__]_8443.downstream_pre_cx_active", 0) == 0, "the silent to go")
    hellos = [connect(8444) for _ in range(50)]
    time.sleep(0.5)
    facts["backend before the handshake"] = envoy.stats("^cluster.ended.upstream_cx_total$")["cluster.ended.upstream_cx_total"]
    facts["after it"] = tls("ended", 8444, "ended")
    for sock in hellos:
        sock.close()
    bridge = [connect_from("10.200.0.2", 40600) for _ in range(60)]
    with connect_from("10.200.0.3", 40600) as sock:
        facts["another uplink's bridge"] = ask(sock, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").split("\r\n")[0]
    with socket.create_connection((RELAY, 40600), 3, ("127.0.0.1", 0)) as sock:
        facts["a stranger's bridge"] = ask(sock, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").split("\r\n")[0]
    time.sleep(0.5)
    facts["bridge took"] = envoy.stats("http.bridge.downstream_cx_active$")["http.bridge.downstream_cx_active"]
    envoy.wait(lambda: envoy.stats("http.bridge.downstream_cx_active$")["http.bridge.downstream_cx_active"] == 0, "the silent to go", 15)
    with connect(40600, RELAY) as sock:
        facts["bridge after it"] = ask(sock, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").split("\r\n")[0]
    # More bindings, smaller parts: nothing that is open notices.
    facts["update"] = envoy.put("added") < 2
    facts["session after it"] = ask(known)
    for sock in [*sessions, known, *bridge]:
        sock.close()
    return facts


def crowd(envoy, play):
    """2,000 connections held at once through one binding, and an uplink that refuses every connection."""
    envoy.start()
    for name in ("plain", "nobody"):
        envoy.wait(lambda: envoy.healthy(name) == 2, f"{name} to be healthy")
    held = [connect(8080) for _ in range(2000)]
    facts = {"held": sum(ask(sock, str(index).encode()) == str(index) for index, sock in enumerate(held))}
    for sock in held:
        sock.close()
    began = time.monotonic()
    facts["refused target"] = [ask(connect(8081)) for _ in range(20)][-1]
    facts["refused fast"] = time.monotonic() - began < 5
    stats = envoy.stats("cluster.nobody.outlier_detection.ejections_active")
    facts["ejected at once"] = max(stats.values(), default=0) <= 1
    return facts


def ejections(envoy, play):
    """Uplinks that answer the prober and refuse every connection."""
    envoy.start()
    envoy.wait(lambda: envoy.healthy("nobody") == len(play["uplinks"]), "nobody to be healthy")
    for _ in range(20):
        ask(connect(8081))
    return {"ejected": max(envoy.stats("cluster.nobody.outlier_detection.ejections_enforced_total").values()) > 0}


SCENARIOS = {f.__name__: f for f in (modes, bridge, updates, replicas, refusals, forms, limits, attacks, crowd, ejections)}


def main():
    name, root, binary, agent = sys.argv[1:]
    play = json.loads((Path(root) / "settings.json").read_text())
    resource.setrlimit(resource.RLIMIT_NOFILE, (16384, 16384))
    # A mount namespace of our own: mounts made here end with this process.
    run_in_own_mounts()
    namespaces = Namespaces(play["uplinks"])
    backends = envoy = None
    try:
        controls = [str(Path(root) / f"ready-{address}") for address in play["uplinks"]]
        for control in controls:
            Path(control).write_text("200")
        play["controls"] = controls
        backends = Backends(namespaces, root, play["backends"] | {"uplinks": dict(zip(play["uplinks"], controls))})
        envoy = Envoy(binary, agent, root)
        facts = SCENARIOS[name](envoy, play)
        print(json.dumps(facts))
    finally:
        for process in (envoy, backends):
            if process:
                process.stop()
        namespaces.close()


def run_in_own_mounts():
    if os.environ.get("TIDEGATE_OWN_MOUNTS") != "1":
        os.environ["TIDEGATE_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "slave", sys.executable, *sys.argv])


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
main()
