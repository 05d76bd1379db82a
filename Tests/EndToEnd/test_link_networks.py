"""Links out of networks as people have them, by the proxies that stand in them: squid, nginx, HAProxy."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from lab.commands import run
from lab.network import BACKEND, HOME, HOSTS, UPLINKS, VPS
from load import SteadyLoad
from product import manifests as m
from product import traffic
from product.traffic import eventually
from stage import EndToEnd, Stage, fresh

_ENROLLMENT = 120
_FRONT = "front.example.test"
_PASSWORD = "s3cret-of-the-proxy"


class Networks(EndToEnd):
    """In this order, on one VPS: the home's router lets less and less out."""

    servers: list[subprocess.Popen]

    @classmethod
    def make_stage(cls) -> Stage:
        stage = fresh()
        cls.servers = []
        cls.narrow(stage, f"ip saddr {HOME} tcp dport 443 accept")
        stage.standalone.write_node(tunnel={"carriers": ["TLS"]})
        stage.standalone.write("web.yaml", m.port_binding(
            "web", "edge", m.tcp("web", 7100, BACKEND, 7000), m.udp("large", 7201, BACKEND, 7000, maxDatagramBytes=9000)))
        os.environ["SSL_CERT_FILE"] = str(stage.lab.certificates.root.certificate)
        try:
            stage.standalone.start()
        finally:
            del os.environ["SSL_CERT_FILE"]
        stage.standalone.wait("EdgeNode", "edge", within=_ENROLLMENT)
        stage.standalone.wait("PortBinding", "web")
        return stage

    @classmethod
    def tearDownClass(cls) -> None:
        for server in cls.servers:
            server.kill()
            server.wait()

    @staticmethod
    def narrow(stage: Stage, *rules: str) -> None:
        """The router lets out what these rules name, the controller's SSH, and nothing else."""
        text = "".join(f"    {rule}\n" for rule in (*rules, f"ip saddr {HOME} tcp dport 22 accept"))
        run(["ip", "netns", "exec", stage.lab.nat.name, "nft", "-f", "-"], input=f"""
table inet narrow
delete table inet narrow
table inet narrow {{
  chain forward {{
    type filter hook forward priority -10;
    ct state established,related accept
    iifname != "br0" accept
    oifname != "wan" accept
{text}    drop
  }}
}}
""")
        # What was let out before is not let out for being known.
        stage.lab.nat.run(["conntrack", "-F"])

    def serve(self, host, *command: str) -> None:
        log = open(self.lab.folder / f"{Path(command[0]).name}.log", "ab")
        self.servers.append(host.start(command, log=log))

    def squid(self, folder: Path, port: int, rules: str) -> None:
        """A squid on another host of the home network, which logs to `folder` and refuses what the rules do not allow."""
        (folder / "squid.conf").write_text(f"""
http_port {UPLINKS[0]}:{port}
{rules}
http_access deny all
cache deny all
access_log stdio:{folder}/access.log
cache_log {folder}/cache.log
pid_filename {folder}/pid
coredump_dir {folder}
shutdown_lifetime 1 second
""")
        run(["chown", "-R", "proxy", str(folder)])
        for one in (self.lab.folder, self.lab.folder.parent):
            one.chmod(0o711)
        self.serve(self.lab.network.hosts["uplink1"], "squid", "-N", "-f", str(folder / "squid.conf"))

    def assert_traffic(self) -> bool:
        traffic.echo_once(self.lab.client, VPS, 7100, 1 << 20)
        with traffic.Datagrams(self.lab.client, VPS, 7201) as session:
            session.echo(9000)
        return True

    def settle(self, **node) -> None:
        """Another node, whose links come up; under a steady load for some seconds."""
        self.standalone.write_node(**node)
        self.assert_carriers(node["tunnel"]["carriers"])
        eventually(self.assert_traffic, within=60)
        # Links of before, that the router cut in silence, are no more.
        time.sleep(4)
        with SteadyLoad(self.lab.client, VPS, 7100) as load:
            time.sleep(5)
        self.assertEqual(load.failures, [])
        self.assertGreater(load.requests, 100)

    def assert_carriers(self, carriers: list[str]) -> None:
        def check() -> bool:
            self.assertEqual(self.standalone.status("EdgeNode", "edge")["uplinks"][0].get("carriers"), carriers)
            return True
        eventually(check, within=60)

    def test_1_only_tcp_443_goes_out(self) -> None:
        self.assert_traffic()
        self.assert_carriers(["TLS"])

    def test_2_only_squid_goes_out(self) -> None:
        folder = self.lab.folder / "squid"
        folder.mkdir()
        hashed = run(["openssl", "passwd", "-apr1", "-stdin"], input=_PASSWORD + "\n").strip()
        (folder / "users").write_text(f"uplink:{hashed}\n")
        self.squid(folder, 3128, f"""auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/users
acl users proxy_auth REQUIRED
acl CONNECT method CONNECT
http_access allow CONNECT users""")
        self.narrow(self.stage, f"ip saddr {UPLINKS[0]} tcp dport 443 accept")
        proxied = {"tunnel": {"carriers": ["TLS"]}, "uplink": {"proxySecretRef": {"name": "proxy"}}}

        def secret(password: str) -> dict:
            return m.ssh_secret("proxy", namespace="tunnel", HTTPS_PROXY=f"http://uplink:{password}@{UPLINKS[0]}:3128")
        self.standalone.write("proxy.yaml", secret("wrong"))
        self.standalone.write_node(**proxied)
        eventually(lambda: self._not_connected("407"), within=60)
        self.standalone.write("proxy.yaml", secret(_PASSWORD))
        self.settle(**proxied)
        log = (folder / "access.log").read_text()
        self.assertIn(f"CONNECT {VPS}:443 uplink", log)
        for where in (self.standalone.log_text(), str(self.standalone.status("EdgeNode", "edge")),
                      self.lab.home.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /proc/[0-9]*/environ | tr '\\0' ' '"])):
            self.assertNotIn(_PASSWORD, where)

    def _not_connected(self, words: str) -> bool:
        said = self.standalone.condition("EdgeNode", "edge", "TunnelEstablished")
        self.assertEqual(said["status"], "False", said)
        self.assertIn(words, said["message"])
        return True

    def test_3_a_websocket_through_nginx_with_tls(self) -> None:
        folder = self.lab.folder / "nginx"
        folder.mkdir()
        issued = self.lab.certificates.issue("front", _FRONT)
        (folder / "front.crt").write_text(issued.certificate_text)
        (folder / "front.key").write_text(issued.key_text)
        (folder / "nginx.conf").write_text(f"""
daemon off; pid {folder}/pid; error_log {folder}/error.log; user root;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d;
  scgi_temp_path {folder}/e;
  server {{
    listen {UPLINKS[0]}:8443 ssl;
    ssl_certificate {folder}/front.crt; ssl_certificate_key {folder}/front.key;
    location /link {{
      proxy_pass http://{VPS}:443; proxy_http_version 1.1; proxy_read_timeout 60s;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_set_header Host $host;
    }}
  }}
}}
""")
        self.lab.set_names({**HOSTS, UPLINKS[0]: _FRONT})
        self.serve(self.lab.network.hosts["uplink1"], "nginx", "-c", str(folder / "nginx.conf"))
        self.narrow(self.stage, f"ip saddr {UPLINKS[0]} tcp dport 443 accept")
        self.settle(tunnel={"carriers": ["WebSocket"], "link": {"url": f"wss://{_FRONT}:8443/link", "path": "/link"}})

    def test_4_a_websocket_through_haproxy(self) -> None:
        folder = self.lab.folder / "haproxy"
        folder.mkdir()
        (folder / "haproxy.cfg").write_text(f"""
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend in
  bind {UPLINKS[1]}:8080
  default_backend edge
backend edge
  server edge {VPS}:443
""")
        self.serve(self.lab.network.hosts["uplink2"], "haproxy", "-db", "-f", str(folder / "haproxy.cfg"))
        self.narrow(self.stage, f"ip saddr {UPLINKS[1]} tcp dport 443 accept")
        self.settle(tunnel={"carriers": ["WebSocket"], "link": {"url": f"ws://{UPLINKS[1]}:8080/link", "path": "/link"}})

    def test_5_a_proxy_that_cuts_each_connection(self) -> None:
        """Two links whose ends are staggered: after the first ends showed the rule, none is lost. A link that ends within 10 s shows none."""
        folder = self.lab.folder / "cutter"
        folder.mkdir()
        script = folder / "cutter.py"
        script.write_text(f"""
import asyncio
async def pump(a, b):
    try:
        while data := await a.read(65536):
            b.write(data); await b.drain()
    except OSError: pass
async def one(r, w):
    fr, fw = await asyncio.open_connection("{VPS}", 443)
    try: await asyncio.wait_for(asyncio.gather(pump(r, fw), pump(fr, w)), 12)
    except (asyncio.TimeoutError, OSError): pass
    for x in (w, fw): x.transport.abort()
async def main():
    async with await asyncio.start_server(one, "{UPLINKS[1]}", 8081) as s: await s.serve_forever()
asyncio.run(main())
""")
        self.serve(self.lab.network.hosts["uplink2"], "/usr/bin/python3", str(script))
        self.standalone.write_node(
            tunnel={"carriers": ["WebSocket"], "link": {"url": f"ws://{UPLINKS[1]}:8081/link", "path": "/link", "connections": 2}})
        eventually(self.assert_traffic, within=60)
        time.sleep(28)
        with SteadyLoad(self.lab.client, VPS, 7100) as load:
            time.sleep(20)
        self.assertEqual(load.failures, [])

    def test_6_only_tcp_22_goes_out(self) -> None:
        self.narrow(self.stage)
        self.settle(tunnel={"carriers": ["SSH"]})

    def test_7_only_squid_goes_out_to_tcp_22(self) -> None:
        folder = self.lab.folder / "squid22"
        folder.mkdir()
        self.squid(folder, 3129, """acl CONNECT method CONNECT
acl ssh port 22
http_access allow CONNECT ssh""")
        self.narrow(self.stage, f"ip saddr {UPLINKS[0]} tcp dport 22 accept")
        self.standalone.write("proxy.yaml", m.ssh_secret("proxy", namespace="tunnel", HTTPS_PROXY=f"http://{UPLINKS[0]}:3129"))
        proxied = {"tunnel": {"carriers": ["SSH"]}, "uplink": {"proxySecretRef": {"name": "proxy"}}}
        before = self._uplink()
        self.standalone.write_node(**proxied)
        # Another proxy is another process; the former one drains first.
        eventually(lambda: self._uplink() not in ("", before), within=60)
        self.settle(**proxied)
        # squid tells of a tunnel when it ends.
        self.lab.vps.exec(["pkill", "-u", "tidegate-ssh"])

        def told() -> bool:
            self.assertIn(f"CONNECT {VPS}:22 ", (folder / "access.log").read_text())
            return True
        eventually(told, within=20)
        eventually(self.assert_traffic, within=60)

    def _uplink(self) -> str:
        return "".join(file.read_text() for file in self.standalone.state.glob("uplinks/*/uplink.pid"))

    def test_8_an_sshd_that_forbids_it_is_named(self) -> None:
        self.standalone.write_node(tunnel={"carriers": ["SSH"]})
        eventually(self.assert_traffic, within=60)
        self.lab.vps.exec(["tee", "/etc/ssh/sshd_config.d/00-links.conf"], input="AllowStreamLocalForwarding no\n")
        self.lab.vps.exec(["systemctl", "reload", "ssh"])
        self.lab.vps.exec(["pkill", "-u", "tidegate-ssh"])

        def refused() -> bool:
            said = self.standalone.condition("EdgeNode", "edge", "TunnelEstablished")
            self.assertEqual((said["status"], said["reason"]), ("False", "RefusedBySSHD"), said)
            self.assertIn("AllowStreamLocalForwarding", said["message"])
            return True
        # The controller looks at what is well each three minutes, and sooner where something is not.
        self.standalone.write_node(tunnel={"carriers": ["SSH"], "link": {"connections": 1}})
        eventually(refused, within=60)
        self.lab.vps.exec(["rm", "/etc/ssh/sshd_config.d/00-links.conf"])
        self.lab.vps.exec(["systemctl", "reload", "ssh"])
        eventually(self.assert_traffic, within=60)

    def test_9_without_ssh_nothing_of_it_stays(self) -> None:
        self.narrow(self.stage, f"ip saddr {HOME} tcp dport 443 accept")
        self.settle(tunnel={"carriers": ["TLS"]})
        self.assertNotIn("tidegate-ssh", self.lab.vps.exec(["cat", "/etc/passwd"]))
        self.assertEqual(self.lab.vps.exec(["sh", "-c", "ls -d /var/lib/tidegate-ssh 2>/dev/null || true"]), "")
