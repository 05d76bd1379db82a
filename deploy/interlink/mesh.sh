cat <<'EOFMESH' > $TMPDIR/mesh.sh
#!/bin/bash
# interLink's MeshScriptTemplatePath: the job's half of mesh-template.yaml. `mesh.sh COMMAND…` runs the command in the mesh, as whoever it is run
# by; without a command, as root, it keeps the mesh up (the sidecar of interLink's Kubernetes plugin). README.md says how it is used.
set -euo pipefail
folder=${SLIRP_TMPDIR:-${TMPDIR:-/tmp}}
mkdir -p "$folder"
PATH=$PATH:/usr/sbin:/sbin
# One static program, where interLink's configuration has that of wstunnel (WSTunnelExecutableURL); wireguard-go for kernels without WireGuard.
uplink=$(command -v uplink || true)
if [ -z "$uplink" ]; then
    uplink=$folder/uplink
    curl -fsSL --retry 5 --connect-timeout 10 -o "$uplink" '{{.WSTunnelExecutableURL}}'
    curl -fsSL --retry 5 --connect-timeout 10 -o "$folder/wireguard-go" '{{.WireguardGoURL}}'
    chmod 0755 "$uplink" "$folder/wireguard-go"
fi
if [ "$(id -u)" != 0 ] && ! command -v slirp4netns > /dev/null; then
    curl -fsSL --retry 5 --connect-timeout 10 -o "$folder/slirp4netns" '{{.Slirp4netnsURL}}'
    chmod 0755 "$folder/slirp4netns"
    PATH=$PATH:$folder
fi
export PATH GATEWAY_PASSWORD='{{.RandomPassword}}'
if [ $# -gt 0 ]; then set -- -- "$@"; fi
exec "$uplink" join --gateway 'ws://{{.IngressEndpoint}}:80' --mesh --ready-file "$folder/mesh-ready" "$@"
EOFMESH
chmod +x $TMPDIR/mesh.sh
