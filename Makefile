# Thin: every target calls cargo, hactl or a script that can be run by hand as well.
CARGO ?= cargo

.PHONY: help build release test test-vm test-vm-trixie drill-replica sim-nightly lint demo vagrant-demo bench bench-vm bench-replica clean

help:
	@echo "make demo   a three-node cluster from bare nodes, its failover, and away again (root, Debian)"
	@echo "make test   all tests that can run here; what cannot is named and counted as skipped"
	@echo "make test-vm  the tests in virtual machines: kernels of their own, DRBD, watchdogs (root, Debian; about 25 minutes)"
	@echo "make test-vm-trixie  the same for what needs Debian 13: the kernel's ublk driver (root, Debian; builds an image first)"
	@echo "make drill-replica  one failover drill after the other of a volume of the replication engine: N=10 (root, Debian)"
	@echo "make sim-nightly  the replication engine's simulator, many seeds: SEEDS='FROM..TO ...' (60000, with congestion and two Primaries 20000 each)"
	@echo "make lint   formatting, clippy, licences and bans, documentation, lengths"
	@echo "make bench  measurements, as ratios within one run"
	@echo "make vagrant-demo  two machines by Vagrant and libvirt, a cluster of them, and away again (root, Debian)"
	@echo "make bench-vm  replicated volumes against the raw disk, in a pair of virtual machines"
	@echo "make bench-replica  the replication engine against the file below it and against QEMU"
	@echo "make build  the debug executable; make release: the optimised one"

build:
	$(CARGO) build --locked

release:
	$(CARGO) build --locked --release

test:
	scripts/test.sh

test-vm:
	scripts/test-vm.sh

test-vm-trixie:
	HACTL_TEST_VM_TRIXIE=1 scripts/test-vm.sh ublk_has_a_volume

# In one lab; it ends with a table, and fails when a write is lost or the cluster is not verified after a drill.
N ?= 10
drill-replica:
	HACTL_DRILLS=$(N) $(CARGO) test --locked --test lab_replica -- --exact drills_in_a_row --nocapture

# Optimised, but with its assertions: a seed that fails is replayed by `cargo run -p replica-sim -- --seed N`.
# From 2^32 on with congestion, from 2^33 on with two Primaries.
SEEDS ?= 0..60000 4294967296..4294987296 8589934592..8589954592
sim-nightly:
	CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true \
		$(CARGO) run --locked --release -p replica-sim -- --seeds $(SEEDS)

lint:
	scripts/lint.sh

demo:
	scripts/demo.sh

vagrant-demo:
	$(CARGO) build --locked
	scripts/vagrant-demo.sh

bench:
	$(CARGO) bench --locked --bench suite

# The engine, which is this program, is one of the sides: the optimised executable is measured.
bench-vm:
	HACTL_TEST_VM=1 scripts/prerequisites.sh
	$(CARGO) bench --locked --bench vm

bench-replica:
	HACTL_BENCH_REPLICA=1 scripts/prerequisites.sh
	$(CARGO) bench --locked -p replicad --bench replica

clean:
	$(CARGO) clean
