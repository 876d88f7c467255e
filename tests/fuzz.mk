# Fuzzers: one tests/fuzz/fuzz_NAME.c for each parser of bytes that come from outside, seeds in tests/fuzz/corpus/NAME.
#   make fuzz-smoke   runs each fuzzer for FUZZ_SECONDS (60); FUZZ="NAME ..." picks some
#   make fuzz         runs each fuzzer for an hour
# Built by clang with libFuzzer, ASan and UBSan in build/fuzz; what a fuzzer found new is kept in build/fuzz/corpus.
FUZZERS     := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ        ?= $(FUZZERS)
# A fuzzer links the archive of the side whose headers it includes.
FUZZ_PART    = $(shell sed -n 's/^\#include "\(agent\|collector\)\/.*/\1/p' tests/fuzz/fuzz_$(1).c | head -n 1)
# And what it shares with others, before the archives, which then need not bring what that stands in for.
FUZZ_SHARED  = $(patsubst %,$(B)/obj/tests/fuzz/%.o,$(shell sed -n 's/^\#include "tests\/fuzz\/\(.*\)\.h"/\1/p' tests/fuzz/fuzz_$(1).c))

define fuzz_rule
$(B)/fuzz/$(1): $(B)/obj/tests/fuzz/fuzz_$(1).o $(call FUZZ_SHARED,$(1)) $(if $(filter agent,$(2)),$(B)/libagent.a) $(if $(filter collector,$(2)),$(B)/libcollector.a) $(B)/libcommon.a
	$$(call link,-fsanitize=fuzzer $(if $(filter agent,$(2)),$$(AGENT_LIBS)) $(if $(filter collector,$(2)),$$(COLLECTOR_LIBS)) $$(COMMON_LIBS))
endef
$(foreach name,$(FUZZERS),$(eval $(call fuzz_rule,$(name),$(call FUZZ_PART,$(name)))))

# The agent's fuzzers see the agent's libcoap.
$(foreach name,$(FUZZERS),$(if $(filter agent,$(call FUZZ_PART,$(name))),$(eval \
	$(B)/obj/tests/fuzz/fuzz_$(name).o $(call FUZZ_SHARED,$(name)): COLLECTOR_CFLAGS = $$(AGENT_CFLAGS))))

fuzz-build: $(FUZZ:%=$(B)/fuzz/%)

fuzz-smoke:
	@$(MAKE) --no-print-directory SAN=fuzz FUZZ='$(FUZZ)' fuzz-build
	@tests/fuzz/run.sh build/fuzz $(FUZZ_SECONDS) $(FUZZ)

fuzz: FUZZ_SECONDS = 3600
fuzz: fuzz-smoke

.PHONY: fuzz fuzz-build fuzz-smoke
