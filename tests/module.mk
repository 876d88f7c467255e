#   make check-asan   the tests again, under ASan and UBSan
#   make demo-clean   takes away what an interrupted demo or test has left
#
# Unit tests: tests/unit/PART/test_NAME.c, one binary a module, linked against the archive of its part.
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*/test_*.c))
UNIT_BINS  := $(UNIT_TESTS:%=$(B)/tests/unit/%)

$(B)/tests/unit/common/%: $(B)/obj/tests/unit/common/%.o $(B)/libcommon.a
	$(call link,$(COMMON_LIBS) -lcmocka)
$(B)/tests/unit/agent/%: $(B)/obj/tests/unit/agent/%.o $(B)/libagent.a $(B)/libcommon.a
	$(call link,$(AGENT_LIBS) -lcmocka)
$(B)/tests/unit/collector/%: $(B)/obj/tests/unit/collector/%.o $(B)/libcollector.a $(B)/libcommon.a
	$(call link,$(COLLECTOR_LIBS) -lcmocka)
$(B)/tests/unit/cli/%: $(B)/obj/tests/unit/cli/%.o $(B)/libcli.a $(B)/libcommon.a
	$(call link,$(CLI_LIBS) -lcmocka)
# It asks the agent's parser about what the command writes.
$(B)/tests/unit/cli/test_agent_conf: $(B)/libagent.a
$(B)/tests/unit/cli/test_agent_conf: CLI_LIBS += $(B)/libagent.a $(B)/libcommon.a -linih

# Our codec as a program, for the compatibility test against protoc (tests/proto).
$(B)/tests/proto/wiretool: $(B)/obj/tests/proto/wiretool.o $(B)/libcommon.a
	$(call link,$(COMMON_LIBS))

# The laboratory's measuring tools (tests/lab): what a LAN client sees, the internet that it asks, and a slow line.
LAB_TOOLS := $(B)/tests/lab/lanprobe $(B)/tests/lab/echod $(B)/tests/lab/link
$(B)/tests/lab/lanprobe: $(B)/obj/tests/lab/gaps.o
$(B)/tests/unit/lab/%: $(B)/obj/tests/unit/lab/%.o $(B)/obj/tests/lab/gaps.o
	$(call link,-lcmocka)
$(LAB_TOOLS): $(B)/tests/lab/%: $(B)/obj/tests/lab/%.o
	$(call link,)

# Counts a program's allocations (tests/e2e/test_agent_memory.py).
$(B)/tests/lab/malloccount.so: tests/lab/malloccount.c
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g -fPIC -shared -o $@ $<
TEST_TOOLS += $(B)/tests/lab/malloccount.so

# A collector whose answers a test decides, over the real CoAP server (tests/unit/agent/link_lab.h).
$(B)/tests/fake/collector: $(B)/obj/tests/fake/collector.o $(B)/libcollector.a $(B)/libcommon.a
	$(call link,$(COLLECTOR_LIBS))
TEST_TOOLS += $(B)/tests/fake/collector
$(addprefix $(B)/tests/unit/agent/test_,link link_loss link_report link_transfer): $(B)/obj/tests/fake/wallclock.o | $(B)/tests/fake/collector
$(B)/tests/unit/common/test_clock: $(B)/obj/tests/fake/wallclock.o
$(addprefix $(B)/tests/unit/collector/test_,coap coap_request): $(B)/obj/tests/bench/dtls_client.o $(B)/obj/tests/fake/wallclock.o

# A wall clock that jumps, and a kernel without random numbers, around a real program (tests/e2e/test_harsh.py).
$(B)/tests/fake/wallclock.so: tests/fake/wallclock.c
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -I. -O2 -g -fPIC -shared -o $@ $<
$(B)/tests/fake/norandom: $(B)/obj/tests/fake/norandom.o
	$(call link,)
TEST_TOOLS += $(B)/tests/fake/wallclock.so $(B)/tests/fake/norandom

# The Linux driver by hand (tests/netns/test_router_*.py).
$(B)/obj/tests/netns/routerctl.o: tests/netns/routerctl.c $(DEPS_AGENT_STAMP) | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) $(AGENT_CFLAGS) -c -o $@ $<
$(B)/tests/netns/routerctl: $(B)/obj/tests/netns/routerctl.o $(B)/libagent.a $(B)/libcommon.a
	$(call link,$(AGENT_LIBS))
TEST_TOOLS += $(B)/tests/netns/routerctl

# Devices that a test plays towards a real collector (tests/e2e/devices.py).
$(B)/tests/e2e/coapdev: $(B)/obj/tests/e2e/coapdev.o $(B)/obj/tests/bench/dtls_client.o $(B)/libcommon.a
	$(call link,$(COLLECTOR_LIBS))
TEST_TOOLS += $(B)/tests/e2e/coapdev

# Whatever else tests run; modules that bring a tool add it.
TEST_TOOLS += $(LAB_TOOLS) $(B)/tests/proto/wiretool

# Parts of the tests that have a file of their own.
-include tests/coverage.mk tests/fuzz.mk tests/bench.mk tests/guest/module.mk tests/debian/module.mk tests/rosim/module.mk tests/emulated.mk

# Debian's own, which has pytest and protobuf from `make setup`; another python3 earlier in PATH may not.
PYTHON ?= /usr/bin/python3
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
FUZZ_SECONDS ?= 60
# No "is up to date" for each thing that is.
QUIET = $(if $(V),,-s)
ONLY ?=

# From nothing to built: what `make check`, `make demo` and the benchmarks begin with. On a second run it does nothing.
ready:
	@tests/lab/preflight.sh machine
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory $(QUIET) $(PARALLEL) all $(LAB_TOOLS)
	@tests/lab/preflight.sh lab

check-build: all $(UNIT_BINS) $(TEST_TOOLS)

# Jobs that look at packages; six cross builds are made for those alone.
PACKAGE_JOBS = $(if $(SAN),,$(shell cd tests && ls $(PACKAGE_TESTS) | grep -E '$(ONLY)'))
PACKAGE_TESTS = $(foreach kind,debian openwrt routeros toolchain,$(patsubst tests/%.py,%.py,$(wildcard tests/$(kind)/test_*.py)))

# ONLY=REGEX runs the jobs of that name; the logs lie in build/check.
check: ready
	@$(MAKE) --no-print-directory $(QUIET) $(PARALLEL) check-build
	$(if $(SAN),,@$(MAKE) --no-print-directory $(QUIET) $(PARALLEL) SAN=fuzz fuzz-build)
	$(if $(PACKAGE_JOBS),@$(MAKE) --no-print-directory $(QUIET) $(PARALLEL) packages sbom $(CYCLONEDX_SCHEMAS))
	$(if $(ROUTER_JOBS),@$(MAKE) --no-print-directory routers-build)
	@$(PYTHON) tests/check.py --build $(B) --san '$(SAN)' --fuzz-seconds $(FUZZ_SECONDS) --only '$(ONLY)'

# The same programs and tests, instrumented. Fuzzers are instrumented always, and run in `make check`.
check-asan:
	@$(MAKE) --no-print-directory SAN=asan check

demo: ready
	@$(PYTHON) -m tests.lab.demo --build $(B)
demo-clean:
	@$(PYTHON) -m tests.lab.lab clean

bench-failover: ready
	@$(PYTHON) -m tests.bench.failover --build $(B)
bench-agent: ready
	@$(PYTHON) -m tests.bench.agent --build $(B)

.PHONY: ready check check-build check-asan demo demo-clean bench-failover bench-agent
