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

# Our codec as a program, for the compatibility test against protoc (tests/proto).
$(B)/tests/proto/wiretool: $(B)/obj/tests/proto/wiretool.o $(B)/libcommon.a
	$(call link,$(COMMON_LIBS))
