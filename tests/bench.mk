# Benchmarks; each writes build/bench/NAME.json. Nothing else should run beside them.
#   make bench-failover   outage of a LAN client at each kind of fault, beside a ping loop and keepalived (13 minutes)
#   make bench-ros-failover  the same behind a simulated RouterOS router, with the agent, without, and set up by hand (7 minutes)
#   make bench-agent      memory and processor time of the running agent (a minute)
#   make bench-collector  acknowledged batches, handshakes and memory with 2,000 sessions (a minute)
#   make bench-detector   false fail-overs and detection time on simulated lines
#   make bench-plan       what a change of plan and a flush cost in the kernel
#   make bench-fleet      ten simulated routers configured and backed up, beside Paramiko, Netmiko and Ansible (25 minutes)
#   make bench-footprint  what the agent costs a small router: a simulated day, an emulated 24Kc (half an hour)
#   make size             what the agent takes of a router's flash; fails when that exceeds its budget
LOAD := $(B)/tests/bench/load
$(LOAD): $(B)/obj/tests/bench/load.o $(B)/obj/tests/bench/dtls_client.o $(B)/libcommon.a
	$(call link,$(COLLECTOR_LIBS))

bench-collector: ready $(LOAD)
	@$(PYTHON) -m tests.bench.collector --build $(B)

.PHONY: bench-collector

# The detector on simulated lines; a pure computation, twelve seconds.
SIM_DETECTOR := $(B)/tests/bench/sim_detector
$(SIM_DETECTOR): $(B)/obj/tests/bench/sim_detector.o $(B)/obj/agent/uplink/detector.o $(B)/obj/agent/uplink/rtt.o
	$(call link,-lm)

bench-detector: $(SIM_DETECTOR)
	@mkdir -p build/bench && $(SIM_DETECTOR) >build/bench/detector.json.part
	@mv build/bench/detector.json.part build/bench/detector.json && cat build/bench/detector.json

.PHONY: bench-detector

# The forwarding plan in the kernel: what a fail-over costs there.
bench-plan: ready $(B)/tests/netns/routerctl
	@$(PYTHON) -m tests.bench.plan --build $(B)

.PHONY: bench-plan

# A simulated RouterOS router whose line dies. ROS='--shrink 5' tries a part of it.
ROS ?=
bench-ros-failover: ready
	@$(PYTHON) -m tests.bench.ros_failover --build $(B) $(ROS)

.PHONY: bench-ros-failover

# Ten simulated routers behind slow lines. FLEET='--routers 3 --lines 50 --only jaga netmiko --scenarios clean' tries a part of it.
FLEET ?=
bench-fleet: setup-bench ready
	@$(PYTHON) -m tests.bench.fleet --build $(B) $(FLEET)

.PHONY: bench-fleet

# Budgets of small routers (tests/bench/budgets.py). The package that is measured holds the agent that is measured, and
# both agents that have a budget are of these sources.
size: packages-openwrt build/arm64/jaga-agent
	@$(PYTHON) -m tests.bench.size

FOOTPRINT_TOOLS := $(B)/tests/lab/skipclock.so $(B)/tests/guest/insns.so
$(FOOTPRINT_TOOLS): $(B)/%.so: %.c
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g -fPIC -shared -o $@ $<

bench-footprint: ready setup-cross
	@$(MAKE) --no-print-directory $(QUIET) $(PARALLEL) packages-openwrt build/arm64/jaga-agent guest-mips $(FOOTPRINT_TOOLS)
	@$(PYTHON) -m tests.bench.footprint --build $(B)

.PHONY: size bench-footprint
