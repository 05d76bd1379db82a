# `make demo` and `make test` work on a fresh Debian 12 machine, as root: each installs what it needs first.
# The lab's targets take ID=name (several labs can be up at once) and RTT=ms.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON := /usr/bin/python3
LAB := Tests/Lab/tidegate-lab --id $(or $(ID),lab)
SLIM := -Xlinker -s -Xlinker --gc-sections -Xlinker --no-export-dynamic -Xswiftc -use-ld=lld -Xlinker --icf=all -Xlinker -z -Xlinker pack-relative-relocs
SOURCES := $(wildcard Sources Tests edge-agent uplink)

.PHONY: help setup bundle build programs images install lint manifests test test-unit test-kube test-kernel test-e2e test-faults test-churn demo fuzz bench lab-up lab-down lab-shell clean

help:                   ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:                  ## install what is missing, fill the cache
	@echo "setup"
	@Tests/Lab/setup $(if $(KERNEL_WIREGUARD),--kernel-wireguard)

bundle: setup           ## the agent as it is pushed
	@echo "bundle"
	@deploy/agent/bundle

build: setup bundle     ## release builds of tidegate and uplink, and the agent's bundle
	@echo "build"
	@# What is not mapped is not resident: no symbols, no dead code, and one copy of what compiles to the same.
	@for product in tidegate uplink; do swift build -c release --static-swift-stdlib --product $$product $(SLIM); done
	@# Where an uplink looks first.
	@install -m 0755 "$$(deploy/agent/wireguard-go)" .build/release/wireguard-go

images: build           ## both container images (TAG=, REPO=), for kind, ctr, docker, podman
	@echo "images"
	@deploy/image/build --root "$$(deploy/image/debian)" --envoy "$$($(PYTHON) Tests/Lab/tidegate-lab envoy)" $(if $(TAG),--tag $(TAG)) $(if $(REPO),--repo $(REPO))

install: build          ## into /opt/tidegate, with a link in /usr/local/bin (DESTDIR for elsewhere)
	@install -d $(DESTDIR)/opt/tidegate $(DESTDIR)/usr/local/bin
	@install -m 0755 .build/release/tidegate .build/release/uplink .build/release/wireguard-go $(DESTDIR)/opt/tidegate/
	@install -m 0644 .build/dist/edge-agent-x86_64.tar.gz .build/dist/edge-agent-x86_64.build \
		.build/dist/edge-link-x86_64 $(DESTDIR)/opt/tidegate/
	@ln -sf /opt/tidegate/tidegate $(DESTDIR)/usr/local/bin/tidegate

lint:                   ## format, warnings, and the module map
	@echo "lint"
	@swift format lint --strict --recursive $(SOURCES) Package.swift
	@.ci/check-imports

manifests: setup        ## what follows from the chart deploy/helm/tunnel: deploy/kubernetes, its copies of crds/, its table of values
	@deploy/helm/render

test: setup lint test-unit test-kube test-kernel test-e2e  ## everything

test-unit: setup        ## no root, no network, seconds
	@echo "unit tests"
	@# All at once, a thousand, starve each other; so many keep two cores busy while some wait.
	@SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=8 swift test --skip KernelTests

test-kube: setup        ## the definitions, and the API server's double, as kubectl sees them
	@echo "tests of the definitions and of the API server's double"
	@cd Tests/Lab && $(PYTHON) -m unittest discover --start-directory kube_tests --top-level-directory .

test-kernel: setup bundle  ## as root: real sockets and namespaces; no VPS
	@echo "kernel tests"
	@swift build --build-tests
	@$(PYTHON) Tests/kernel
	@echo "the same over SSH with the libssh2 of Debian 13"
	@LD_LIBRARY_PATH=$$(Tests/Lab/libssh2 trixie) swift test --skip-build --no-parallel --filter SSHKernelTests

# What the end-to-end tests drive: the objects of the unit tests, without the optimizer, which takes 18 minutes, linked anew. The libraries are
# those that an object compiled for static linking names by itself; these were compiled for the tests. TIDEGATE_BIN= for other programs.
PROGRAMS := .build/lab
STATIC := --static-swift-stdlib -Xlinker --start-group $(foreach library,_FoundationCShims _FoundationCollections _FoundationICU \
	FoundationEssentials FoundationInternationalization CoreFoundation,-Xlinker -l$(library)) -Xlinker --end-group
programs: bundle        ## debug builds of tidegate and uplink, and the agent's bundle
	@echo "programs"
	@for product in tidegate uplink; do swift build --product $$product; done
	@for product in tidegate uplink; do swift build $(STATIC) --product $$product; done
	@install -D --mode 0755 --target-directory $(PROGRAMS) .build/debug/tidegate .build/debug/uplink
	@install -m 0755 "$$(deploy/agent/wireguard-go)" $(PROGRAMS)/wireguard-go

# `test` too: a prerequisite is made once, with the variables of whoever asked first.
test test-e2e test-faults: KERNEL_WIREGUARD := 1
test-e2e: export TIDEGATE_BIN ?= $(CURDIR)/$(PROGRAMS)
test-e2e: programs      ## the whole path, in JOBS labs at once (2): Tests/EndToEnd/run NAME for some of it
	@echo "end-to-end tests"
	@cd Tests/Lab && $(PYTHON) -m unittest discover --start-directory cluster_tests --top-level-directory .
	@$(PYTHON) Tests/EndToEnd/run --jobs $(or $(JOBS),2)
	@$(PYTHON) Tests/Faults/run --quick

test-faults: build      ## break everything on purpose, into docs/reliability.md (an hour and a half; ONLY=word for some of it)
	@echo "faults"
	@$(PYTHON) Tests/Faults/run --write $(ONLY)

test-churn: build       ## twenty minutes of random changes and kills under load (MINUTES=, SEED=)
	@$(PYTHON) Tests/Faults/churn --minutes $(or $(MINUTES),20) --seed $(or $(SEED),1)

# It builds what it runs and no more, in a folder of its own: no controller for a cluster, no optimizer.
DEMO := .build-demo
demo:                   ## two YAML files to real traffic through a real VPS (CARRIER=TLS, WebSocket or SSH for links)
	@echo "setup"
	@Tests/Lab/setup --demo
	@echo "build"
	@for product in tidegate uplink; do \
		swift build --disable-default-traits --static-swift-stdlib --scratch-path $(DEMO) --product $$product; done
	@deploy/agent/bundle --quick $(DEMO)
	@install -m 0755 "$$(deploy/agent/wireguard-go)" $(DEMO)/debug/wireguard-go
	@CARRIER=$(CARRIER) TIDEGATE_BIN=$(DEMO)/debug TIDEGATE_AGENT_BUNDLE=$(DEMO)/dist/edge-agent-x86_64.tar.gz $(PYTHON) Tests/Lab/demo.py

fuzz: setup             ## every parser that reads what others wrote, each for SECONDS (600); TARGETS= for some of them
	@echo "fuzz"
	@$(PYTHON) Tests/Fuzz/run --seconds $(or $(SECONDS),600) $(TARGETS)

bench: build            ## the figures of the performance budgets; SUITES= for some of them
	@$(PYTHON) Tests/Benchmarks/run $(SUITES)

lab-up: setup           ## a VPS behind its internet, a home behind its NAT
	@$(LAB) up $(if $(RTT),--rtt $(RTT))

lab-down:
	@$(LAB) down

lab-shell:              ## NS=client|internet|vps|nat|home|uplink1|uplink2|backend
	@$(LAB) shell $(or $(NS),home)

clean:                  ## build products; the cache stays (rm -rf .cache)
	@swift package clean
	@rm -rf .build/dist
