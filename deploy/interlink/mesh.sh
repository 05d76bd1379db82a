cat <<'EOFMESH' > $TMPDIR/mesh.sh
#!/bin/bash
# interLink's MeshScriptTemplatePath: the job's half of mesh-template.yaml. `mesh.sh COMMAND…` runs the command in the mesh, as whoever it is run
# by; without a command, as root, it keeps the mesh up (the sidecar of interLink's Kubernetes plugin). README.md says how it is used.
set -euo pipefail
folder=${SLIRP_TMPDIR:-${TMPDIR:-/tmp}}
mkdir -p "$folder"
ready=${TMPDIR:-$(dirname "$0")}/mesh-ready
PATH=$PATH:/usr/sbin:/sbin
# What is fetched is in a folder that nobody else could have made before.
work=
fetch() {
    if [ -z "$work" ]; then work=$(mktemp -d "$folder/tidegate-mesh-XXXXXX"); fi
    curl -fsSL --retry 5 --connect-timeout 10 -o "$work/$1" "$2"
    chmod 0755 "$work/$1"
}
# One static program, where interLink's configuration has that of wstunnel (WSTunnelExecutableURL); wireguard-go for kernels without WireGuard.
uplink=$(command -v uplink || true)
if [ -z "$uplink" ]; then
    fetch uplink '{{.WSTunnelExecutableURL}}'
    fetch wireguard-go '{{.WireguardGoURL}}'
    uplink=$work/uplink
fi
if [ "$(id -u)" != 0 ] && ! command -v slirp4netns > /dev/null; then
    fetch slirp4netns '{{.Slirp4netnsURL}}'
    PATH=$PATH:$work
fi
export PATH GATEWAY_PASSWORD='{{.RandomPassword}}'
if [ $# -gt 0 ]; then set -- -- "$@"; fi
exec "$uplink" join --gateway 'ws://{{.IngressEndpoint}}:80' --mesh --ready-file "$ready" "$@"
EOFMESH
chmod +x $TMPDIR/mesh.sh
