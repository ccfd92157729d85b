# Verbs only: what they do is written in Go. `make help` lists them.
GO      ?= go
NAME    ?= failover
DRIVER  ?= process
LINT     = bin/golangci-lint
PROGRAMS = bin/lbd bin/lbctl bin/simvos bin/vosbed
BUILD    = CGO_ENABLED=0 $(GO) build -trimpath

.PHONY: help build test setup check lint generate generate-check scenario scenarios mutants demo \
        test-kernel relock setup-image image image-boot image-test image-bench bench bench-failover bench-peers soak-heartbeat clean FORCE

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 20

build: $(PROGRAMS) ## build the programs into bin/

bin/testsum: FORCE
	@$(BUILD) -o $@ ./internal/testsum

bin/%: FORCE
	@$(BUILD) -o $@ ./cmd/$*

scenario: build $(if $(filter vm,$(DRIVER)),image) ## run one scenario end to end: make scenario NAME=failover (DRIVER=vm: with booted images)
	@bin/vosbed run $(NAME) --driver $(DRIVER)

demo: build ## the guide's deployment with both WebUIs on 127.0.0.1 and 127.0.0.2, until Ctrl-C
	@bin/vosbed demo

scenarios: build ## run every scenario
	@bin/vosbed run --all

mutants: build ## prove that every scenario can fail
	@bin/vosbed mutants

setup: bin/testsum ## install the media players that the tests use (Debian packages)
	@bin/testsum setup

test: setup build ## all tests and the short scenarios; ends with "N passed, N failed"
	@bin/testsum run

setup-image: bin/testsum
	@bin/testsum setup-image

image: setup-image bin/mkimage ## build the appliance's disk image in every format, into out/images
	@bin/mkimage build

image-boot: setup-image bin/mkimage ## boot it in QEMU, its console on this terminal
	@bin/mkimage boot

image-test: setup-image bin/mkimage ## boot it by BIOS and UEFI on what hypervisors offer; bad updates and power cuts (half an hour)
	@bin/mkimage build
	@VOSBED_REQUIRE=image,root,tun VOSBED_IMAGE=$(CURDIR)/out/images $(GO) test -count=1 -v -timeout 90m ./images/matrix

image-bench: setup-image ## time five boots by BIOS and five by UEFI, on a machine that does nothing else
	@VOSBED_REQUIRE=image VOSBED_IMAGE=$(CURDIR)/out/images VOSBED_BOOTS=5 $(GO) test -count=1 -v -timeout 30m -run '^TestBench$$' ./images/matrix

# Tests of what this machine's kernel may lack, in the kernel that the appliance has.
IN_KERNEL = VOSBED_REQUIRE=root,ipvs,vlan,bond,netem,warp CGO_ENABLED=0 $(GO) test -trimpath -count=1
VMEXEC    = $(CURDIR)/bin/vmexec
DATAPLANE = ./appliance/internal/dataplane

test-kernel: bin/vmexec ## tests that need IPVS, VLANs, bonds or netem, in Debian's kernels (needs qemu-system-x86)
	@VOSBED_REQUIRE=machine CGO_ENABLED=0 $(GO) test -trimpath -count=1 ./cmd/vmexec
	@$(IN_KERNEL) -exec "$(VMEXEC)" ./images/vmexec
	@$(IN_KERNEL) -exec "$(VMEXEC) -kernel 6.12" ./images/vmexec
	@$(IN_KERNEL) -exec "$(VMEXEC) -warp" $(DATAPLANE)/ipvs
	@$(IN_KERNEL) -exec "$(VMEXEC) -warp -kernel 6.12" $(DATAPLANE)/ipvs
	@$(IN_KERNEL) -exec "$(VMEXEC)" -run '^TestTCPThrough(DirectRouting|AVLAN|ABond)$$/^clsact$$' $(DATAPLANE)/ebpf
	@$(IN_KERNEL) -exec "$(VMEXEC) -kernel 6.12" -run '^TestTCPThrough(DirectRouting|AVLAN|ABond)$$' $(DATAPLANE)/ebpf
	@$(IN_KERNEL) -exec "$(VMEXEC)" -run 'VLAN|Bond|AnnouncementsReach' ./appliance/internal/system ./appliance/internal/vip
	@$(IN_KERNEL) -exec "$(VMEXEC) -kernel 6.12" -run 'VLAN|Bond|AnnouncementsReach' ./appliance/internal/system ./appliance/internal/vip

relock: bin/vmexec bin/mkimage ## pin the newest Debian packages that apt knows (apt-get update first)
	@bin/vmexec -relock images/vmexec/lock.json
	@bin/mkimage relock

check: lint generate-check ## formatting, lint, generated code, go.mod
	$(GO) mod tidy -diff

lint: $(LINT) ## run the linters
	$(LINT) run ./...

$(LINT):
	GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

generate: ## compile the eBPF programs again (needs clang 19)
	$(GO) generate ./appliance/internal/dataplane/ebpf/...

generate-check: generate ## the committed objects are what the sources give
	git diff --exit-code -- appliance/internal/dataplane/ebpf

bench: build ## data-plane and lab benchmarks, minus their floors
	@$(GO) run ./internal/bench

bench-failover: build ## p99 of the outage from 100 trials of each fault (a quarter of an hour)
	@TRIALS=$${TRIALS:-100} bin/vosbed run failover

bench-peers: build ## HAProxy in the proxy's slot, same run
	@bin/vosbed run throughput-peers

soak-heartbeat: build ## ten minutes of load on every core: no false failover
	@bin/vosbed run soak-heartbeat

clean: ## remove what was built and measured
	rm -rf bin out
