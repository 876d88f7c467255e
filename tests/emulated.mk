# Unit tests on routers' processors: those of agent/ and common/, compiled as the agent is and run under qemu-user.
#   make router-build    builds agent and tests of TARGET=mips|...; `make routers-build` of all
#   make check-reproducible   builds all routers' agents in another folder and compares (ten minutes)
#
# mips is big-endian and has no FPU, armv5 refuses what is not aligned, arm64 has 64 bits: what holds on all three and
# here holds on the others. tests/emulated.skip says which tests do not run there, and why; tests/check.py runs the rest.
EMULATED_TARGETS := mips armv5 arm64
EMULATED_SKIPPED := $(shell sed -n 's/^\([a-z]*\/[^ ]*\)  .*/\1/p' tests/emulated.skip)
EMULATED_TESTS   := $(filter-out $(EMULATED_SKIPPED),$(filter agent/% common/%,$(UNIT_TESTS)))
# Where the agent has no RouterOS driver it cannot be tested.
EMULATED_TESTS   := $(if $(filter routeros,$(TARGET_DRIVERS)),$(EMULATED_TESTS),$(filter-out agent/test_ros% agent/test_routeros%,$(EMULATED_TESTS)))

# A program that sins on demand, and the same without what should stop it (tests/toolchain/test_hardening.py).
HARDENING := $(B)/tests/toolchain/hardening $(B)/tests/toolchain/hardening-off
$(B)/tests/toolchain/hardening: $(B)/obj/tests/toolchain/hardening.o
	$(call link,)
$(B)/obj/tests/toolchain/hardening-off.o: tests/toolchain/hardening.c $(DEPS_COLLECTOR_STAMP)
	$(call say,CC,$< (off))
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) -fno-stack-protector -DJAGA_FORTIFY_STRING_H -DJAGA_FORTIFY_STDIO_H \
		-DJAGA_FORTIFY_UNISTD_H -DJAGA_FORTIFY_SYS_SOCKET_H -c -o $@ $<
$(B)/tests/toolchain/hardening-off: LDHARDEN += -Wl,-z,norelro
$(B)/tests/toolchain/hardening-off: $(B)/obj/tests/toolchain/hardening-off.o
	$(call link,)

# Everything that `make check` wants of one router.
router-build: $(B)/jaga-agent $(HARDENING) \
	$(if $(filter $(TARGET),$(EMULATED_TARGETS)),$(EMULATED_TESTS:%=$(B)/tests/unit/%))

routers-build:
	@$(MAKE) --no-print-directory setup-cross
	+@for target in $(ROUTERS); do \
		flock build/$$target.lock $(MAKE) --no-print-directory $(QUIET) $(PARALLEL) TARGET=$$target router-build || exit 1; \
	done

check-reproducible: routers-build
	@JAGA_REPRODUCIBLE='$(ROUTERS)' $(PYTHON) -m pytest -q -p no:cacheprovider tests/toolchain/test_reproducible.py

.PHONY: router-build routers-build check-reproducible

# `make check ONLY=unit/cli` builds for no router.
ROUTER_JOBS = $(if $(SAN),,$(shell printf '%s\n' $(foreach target,$(EMULATED_TARGETS),$(EMULATED_TESTS:%=emulated-$(target)/unit/%)) \
	toolchain/test_elf toolchain/test_hardening toolchain/test_reproducible | grep -E '$(ONLY)'))
