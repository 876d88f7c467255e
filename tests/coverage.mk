# The coverage gate: the fail-over engine is exercised on every branch, or `make check` fails.
#   make check-coverage   runs the engine's unit tests instrumented; lists branches that none of them took
COVERED_SRCS  := $(filter agent/uplink/%,$(AGENT_SRCS))
# test_MODULE and test_MODULE_SUBJECT. Not what comes by chance: a branch that it took today it may not take tomorrow.
COVERED_TESTS := $(filter-out %_random,$(foreach module,$(COVERED_SRCS:agent/uplink/%.c=%),\
	$(filter agent/test_$(module) agent/test_$(module)_%,$(UNIT_TESTS))))

# An archive of its own, so that the gate does not wait for the rest of the agent.
$(B)/libuplink.a: $(COVERED_SRCS:%.c=$(B)/obj/%.o)
$(B)/tests/coverage/%: $(B)/obj/tests/unit/%.o $(B)/libuplink.a
	$(call link,-lcmocka)

coverage-build: $(COVERED_TESTS:%=$(B)/tests/coverage/%)

check-coverage:
	@$(MAKE) --no-print-directory SAN=cov CFLAGS='-O0 -g' coverage-build
	@$(PYTHON) tests/coverage.py --objects build/cov/obj $(COVERED_SRCS) -- \
		$(COVERED_TESTS:%=build/cov/tests/coverage/%)

.PHONY: coverage-build check-coverage
