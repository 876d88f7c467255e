# toolchain: the tools and libraries that Jaga is built with.
#
# Targets
#   make setup   installs the packages of toolchain/packages.list that are missing (root; Debian)
#   make setup-cross   and those of toolchain/packages-cross.list: cross compilers, emulators, packagers
#   make setup-bench   and those of toolchain/packages-bench.list: what others configure routers with
#   make agent   the agent of TARGET=mips|mipsel|armv5|armv7|arm64|x86_64, in build/TARGET
#   make agents  the agents of all six
#   make deps    fetches, verifies, patches and builds mbedTLS and libcoap, for the agent and for the collector
#   make check-fresh   proves `make demo` and `make check` in a bare Debian 12 (root)
#
# For the rules that compile and link against them (each is expanded when used):
#   DEPS_AGENT_CFLAGS      DEPS_AGENT_LIBS      DEPS_AGENT_STAMP      a DTLS client, small
#   DEPS_COLLECTOR_CFLAGS  DEPS_COLLECTOR_LIBS  DEPS_COLLECTOR_STAMP  server and client, fast; tests that speak DTLS too
# A rule depends on the STAMP of the CFLAGS that it uses. No -D is needed: the headers carry their configuration.
# The libraries lie in build/deps/{agent,collector}/{include,lib}; with SAN=asan in build/asan-deps, and for another
# TARGET in build/TARGET-deps. SAN=fuzz and SAN=cov link the plain ones: what they instrument is our code.
# A second run builds nothing. A change of versions, patches, scripts, flags or configuration headers builds again.

include toolchain/versions.mk

TARGET ?= host
ROUTERS := mips mipsel armv5 armv7 arm64 x86_64
ifneq ($(filter-out host $(ROUTERS),$(TARGET))$(words $(TARGET)),1)
$(error TARGET=$(TARGET) is none of $(ROUTERS); leave it out for this machine)
endif
include toolchain/$(TARGET).mk

# What the agent of this target drives: the machine it runs on, or a RouterOS router beside it too. That one is spoken to
# over TLS, so it decides which mbedTLS is built.
TARGET_DRIVERS ?= linux routeros
MBEDTLS_CONFIG_agent     := mbedtls_config_agent$(if $(filter routeros,$(TARGET_DRIVERS)),_routeros).h
MBEDTLS_CONFIG_collector := mbedtls_config_collector.h

DEPS_SAN    := $(filter asan,$(SAN))
DEPS_DIR    := build/$(addsuffix -,$(filter-out host,$(TARGET)))$(addsuffix -,$(DEPS_SAN))deps
DEPS_CFLAGS  = $(TARGET_CFLAGS)
ifeq ($(DEPS_SAN),asan)
DEPS_CFLAGS  = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined
endif

DEPS_AGENT_STAMP      := $(DEPS_DIR)/agent/built
DEPS_COLLECTOR_STAMP  := $(DEPS_DIR)/collector/built
DEPS_AGENT_CFLAGS      = -isystem $(DEPS_DIR)/agent/include
DEPS_COLLECTOR_CFLAGS  = -isystem $(DEPS_DIR)/collector/include
DEPS_AGENT_LIBS        = $(addprefix $(DEPS_DIR)/agent/lib/,$(DEPS_ARCHIVES))
DEPS_COLLECTOR_LIBS    = $(addprefix $(DEPS_DIR)/collector/lib/,$(DEPS_ARCHIVES))
DEPS_ARCHIVES         := libcoap-3.a libmbedtls.a libmbedx509.a libmbedcrypto.a libeverest.a

# Every source of versions.mk is fetched, verified, unpacked and patched in the same way; source_rules(PREFIX,name) makes
# PREFIX_DIR of it. This machine has most of them as Debian's -dev packages, so only a router's libraries ask for those.
define source_rules
$(1)_DIR     := build/src/$(2)-$($(1)_VERSION)
$(1)_PATCHES := $(sort $(wildcard toolchain/patches/$(2)/*.patch))
$(1)_TARBALLS := $(addprefix build/dist/,$($(1)_FILE) $($(1)_FIXES_FILE))
build/dist/$($(1)_FILE): sum = $($(1)_SHA256)
$(if $($(1)_FIXES_FILE),build/dist/$($(1)_FIXES_FILE): sum = $($(1)_FIXES_SHA256))
$$($(1)_TARBALLS): build/dist/%: toolchain/versions.mk toolchain/fetch.sh
	@toolchain/fetch.sh $($(1)_SOURCE) $$* $$(sum) $$@
$$($(1)_DIR)/.unpacked: $$($(1)_TARBALLS) $$($(1)_PATCHES) toolchain/unpack.sh build/patches.list
	@FIXES='$$(word 2,$$($(1)_TARBALLS))' INNER='$($(1)_INNER)' PARTS='$($(1)_PARTS)' \
		toolchain/unpack.sh $$< $$(@D) $(addprefix fix:,$($(1)_FIXES)) $$($(1)_PATCHES)
ALL_PATCHES += $$($(1)_PATCHES)
endef
$(eval $(call source_rules,MBEDTLS,mbedtls))
$(eval $(call source_rules,LIBCOAP,libcoap))
$(eval $(call source_rules,MUSL,musl))
$(eval $(call source_rules,LIBGCC,libgcc))
$(eval $(call source_rules,ZLIB,zlib))
$(eval $(call source_rules,PROTOBUF_C,protobuf-c))
$(eval $(call source_rules,LIBEV,libev))
$(eval $(call source_rules,LIBINIH,libinih))
$(eval $(call source_rules,CMOCKA,cmocka))

ifdef TARGET_MUSL
include toolchain/musl.mk
endif

setup:
	@toolchain/setup.sh toolchain/packages.list

setup-cross:
	@toolchain/setup.sh toolchain/packages.list toolchain/packages-cross.list

setup-bench:
	@toolchain/setup.sh toolchain/packages.list toolchain/packages-cross.list toolchain/packages-bench.list

deps: $(DEPS_AGENT_STAMP) $(DEPS_COLLECTOR_STAMP)

# Files that change only when what they record changes: a patch taken away, a flag.
build/patches.list: FORCE
	@mkdir -p build/src
	@echo '$(strip $(ALL_PATCHES))' | cmp -s - $@ || echo '$(strip $(ALL_PATCHES))' >$@
DEPS_FLAGS = $(TARGET_CC) $(TARGET_ARCH) $(DEPS_CFLAGS) $(TARGET_SMALL) $(TARGET_CMAKE) $(TARGET_UAPI) $(TARGET_PIE)
$(DEPS_DIR)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(strip $(DEPS_FLAGS))' | cmp -s - $@ || echo '$(strip $(DEPS_FLAGS))' >$@

$(DEPS_DIR)/%/built: $(wildcard toolchain/mbedtls_config*.h) toolchain/build.sh $(DEPS_DIR)/flags \
		$(DEPS_SYSROOT_STAMP) $(MBEDTLS_DIR)/.unpacked $(LIBCOAP_DIR)/.unpacked
	+@TARGET_SYSROOT='$(SYSROOT)' TARGET_CC='$(TARGET_CC)' TARGET_AR='$(TARGET_AR)' TARGET_CFLAGS='$(DEPS_CFLAGS)' \
		TARGET_SMALL='$(TARGET_SMALL)' TARGET_CMAKE='$(TARGET_CMAKE)' MBEDTLS_CONFIG='$(MBEDTLS_CONFIG_$*)' V='$(V)' \
		toolchain/build.sh $* $(@D) $(MBEDTLS_DIR) $(LIBCOAP_DIR)

check-fresh:
	@tests/check-fresh

# One at a time for each target: packages of several kinds ask for the same agent at once.
agent:
	@$(MAKE) --no-print-directory $(if $(TARGET_MUSL),setup-cross,setup)
	+@mkdir -p build && flock $(B).lock $(MAKE) --no-print-directory $(QUIET) $(PARALLEL) $(B)/jaga-agent
agents: $(ROUTERS:%=build/%/jaga-agent)

.PHONY: agent agents setup setup-cross setup-bench deps check-fresh FORCE
FORCE:
