# Jaga: `make help` lists the targets. One file, a module.mk per folder, sources listed.
#   make demo    the main job, in a laboratory of network namespaces (root)
#   make check   builds and runs every test (root)
#   make clean   takes away what was built, but for the libraries, downloads and figures
#
# Variables: V=1 shows commands, SAN=asan|fuzz|cov selects an instrumented build in build/$(SAN).

.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SECONDARY:

SAN    ?=
TARGET ?= host
B      := build/$(or $(SAN),$(TARGET))
PREFIX ?= /usr
V      ?=
Q      := $(if $(V),,@)
say     = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

CC       ?= cc
PYTHON   ?= /usr/bin/python3
AR       ?= ar
# The same programs from whatever folder they are built in.
CFLAGS   ?= -O2 -g -fdebug-prefix-map=$(CURDIR)=.
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
HARDEN   := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
LDHARDEN := -pie -Wl,-z,relro,-z,now
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0)
# Time of the last commit: no wall time before it is believed. The same for everybody who builds that commit.
BUILD_TIME := $(or $(shell git log -1 --format=%ct 2>/dev/null),0)

ifeq ($(SAN),asan)
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
HARDEN   := -fPIE
endif
ifeq ($(SAN),fuzz)
CC       := clang-14
SANFLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
HARDEN   := -fPIE
WARNINGS := -Wall -Wextra
endif
ifeq ($(SAN),cov)
SANFLAGS := --coverage -O0
HARDEN   := -fPIE
endif

include toolchain/module.mk
include common/module.mk
include proto/module.mk
include agent/module.mk
include collector/module.mk
include firmware-build/module.mk
include tests/module.mk
include install.mk

# pkg-config is asked when a recipe runs, not when this file is read: `make setup` may install it first.
BASE_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARNINGS) $(HARDEN) $(SANFLAGS) $(CFLAGS) -I. -isystem $(B)/gen \
	-DJAGA_VERSION='"$(VERSION)"' -DJAGA_BUILD_TIME_S=$(BUILD_TIME) -MMD -MP
AGENT_CFLAGS      = $(DEPS_AGENT_CFLAGS)
COLLECTOR_CFLAGS  = $(DEPS_COLLECTOR_CFLAGS)
COMMON_LIBS       = -lprotobuf-c
AGENT_LIBS        = $(DEPS_AGENT_LIBS) -lprotobuf-c -lev -linih -lz -lm
COLLECTOR_LIBS    = $(DEPS_COLLECTOR_LIBS) -lprotobuf-c -lev -linih -lz -lzstd -llmdb -ljansson -lsystemd -lpthread -lm
CLI_LIBS          = -ljansson -lsmartcols -lgit2

objs = $(patsubst %.c,$(B)/obj/%.o,$(filter %.c,$(1)))
define link
$(call say,LINK,$@)
$(Q)mkdir -p $(@D) && $(CC) $(SANFLAGS) $(LDHARDEN) $(LDFLAGS) -o $@ $^ $(1)
endef

# Who prints the version, or believes no earlier time, is compiled again when git says another one.
VERSION_SRCS := $(shell grep -rlE 'JAGA_(VERSION|BUILD_TIME_S)' agent collector common tests --include='*.c')
$(call objs,$(VERSION_SRCS)): $(B)/version
$(B)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION) $(BUILD_TIME)' | cmp -s - $@ || echo '$(VERSION) $(BUILD_TIME)' >$@

COMMON_OBJS := $(call objs,$(COMMON_SRCS)) $(B)/obj/gen/jaga.pb-c.o

# A router runs the agent alone.
all: $(B)/jaga-agent $(if $(filter host,$(TARGET)),$(B)/jaga-collector $(B)/jaga)

$(B)/obj/gen/%.o: $(B)/gen/%.c $(DEPS_SYSROOT_STAMP)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 $(HARDEN) $(SANFLAGS) $(CFLAGS) -MMD -MP -I$(B)/gen -c -o $@ $<

$(B)/obj/common/%.o: common/%.c $(DEPS_SYSROOT_STAMP) | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) $(COMMON_CFLAGS) -c -o $@ $<
$(B)/obj/agent/%.o: agent/%.c $(DEPS_AGENT_STAMP) | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) $(AGENT_CFLAGS) -c -o $@ $<
$(B)/obj/collector/%.o: collector/%.c $(DEPS_COLLECTOR_STAMP) | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) $(COLLECTOR_CFLAGS) -c -o $@ $<
$(B)/obj/tests/unit/agent/%.o: tests/unit/agent/%.c $(DEPS_AGENT_STAMP) | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) $(AGENT_CFLAGS) -c -o $@ $<
$(B)/obj/tests/%.o: tests/%.c $(DEPS_COLLECTOR_STAMP) | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) $(COLLECTOR_CFLAGS) -c -o $@ $<

# A module.mk that lists another source makes its archive anew.
$(B)/libcommon.a: $(COMMON_OBJS) common/module.mk
$(B)/libagent.a: agent/module.mk $(call objs,$(filter-out agent/main.c,$(AGENT_SRCS)))
$(B)/libcollector.a: collector/module.mk $(call objs,$(filter-out collector/main.c,$(COLLECTOR_SRCS)))
$(B)/libcli.a: collector/module.mk $(call objs,$(filter-out collector/cli/main.c,$(CLI_SRCS)))
$(B)/lib%.a:
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

AGENT_PARTS := $(B)/obj/agent/main.o $(B)/libagent.a $(B)/libcommon.a
ifeq ($(TARGET),host)
$(B)/jaga-agent: $(AGENT_PARTS)
	$(call link,$(AGENT_LIBS))
else
$(B)/jaga-agent.debug: $(AGENT_PARTS)
	$(call link,$(AGENT_LIBS))
$(B)/jaga-agent: $(B)/jaga-agent.debug
	$(call say,STRIP,$@)
	$(Q)$(STRIP) -o $@ $<
endif
$(B)/jaga-collector: $(B)/obj/collector/main.o $(B)/libcollector.a $(B)/libcommon.a
	$(call link,$(COLLECTOR_LIBS))
$(B)/jaga: $(B)/obj/collector/cli/main.o $(B)/libcli.a $(B)/libcommon.a
	$(call link,$(CLI_LIBS))

clean:
	rm -rf build/host build/asan build/fuzz build/cov build/packages $(ROUTERS:%=build/%)

help:
	@sed -n 's/^#   make  *\([^ ]*\)  *\(.*\)/\1\t\2/p' $(filter-out %.d,$(MAKEFILE_LIST)) | \
		while IFS='	' read -r target what; do printf 'make %-16s %s\n' "$$target" "$$what"; done

.PHONY: all clean help
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
