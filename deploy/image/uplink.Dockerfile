# The uplink's image for those who have Docker; deploy/image/build makes a smaller one without.
#   docker build --file deploy/image/uplink.Dockerfile --tag ghcr.io/achetronic/tunnel/uplink:TAG .
# Pinned; give NAME@sha256:… for builds that are the same byte for byte.
ARG SWIFT=swift:6.3.1-bookworm
ARG DEBIAN=debian:13.2-slim

FROM ${SWIFT} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends make libmnl-dev libsodium-dev libssh2-1-dev libssl-dev libyaml-dev \
        wireguard-go \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# As `make build` links it: what is not mapped is not resident.
RUN swift build --configuration release --static-swift-stdlib --product uplink \
    -Xlinker -s -Xlinker --gc-sections -Xlinker --no-export-dynamic \
    && cp "$(swift build --configuration release --show-bin-path)/uplink" /usr/bin/uplink
# The newest that Debian has, with its licence.
RUN cp "$(deploy/agent/wireguard-go)" /usr/bin/wireguard-go \
    && for record in .cache/wireguard-go/*/copyright; do ! [ -e "$record" ] || cp "$record" /usr/share/doc/wireguard-go/copyright; done

FROM ${DEBIAN}
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates libmnl0 libsodium23 libssh2-1t64 libssl3t64 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /etc/tidegate/config /etc/tidegate/keys /run/wireguard
COPY --from=build /usr/bin/uplink /usr/bin/wireguard-go /usr/bin/
COPY --from=build /usr/share/doc/wireguard-go/copyright /usr/share/doc/wireguard-go/copyright
# root: Kubernetes gives capabilities to no other user. The pod template drops all but two, or names another user where links carry.
USER 0:0
ENTRYPOINT ["/usr/bin/uplink"]
