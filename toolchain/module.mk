# toolchain: the tools and libraries that Jaga is built with.
#
# Targets
#   make setup   installs the packages of toolchain/packages.list that are missing (root; Debian)
#   make setup-cross   and those of toolchain/packages-cross.list: cross compilers, emulators, packagers
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
include toolchain/$(TARGET).mk

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
DEPS_ARCHIVES         := libcoap-3.a libmbedtls.a libmbedcrypto.a libeverest.a

MBEDTLS_DIR := build/src/mbedtls-$(MBEDTLS_VERSION)
LIBCOAP_DIR := build/src/libcoap-$(LIBCOAP_VERSION)
MBEDTLS_PATCHES := $(sort $(wildcard toolchain/patches/mbedtls/*.patch))
LIBCOAP_PATCHES := $(sort $(wildcard toolchain/patches/libcoap/*.patch))

setup:
	@toolchain/setup.sh toolchain/packages.list

setup-cross: setup
	@toolchain/setup.sh toolchain/packages-cross.list

deps: $(DEPS_AGENT_STAMP) $(DEPS_COLLECTOR_STAMP)

build/dist/$(MBEDTLS_FILE): toolchain/versions.mk toolchain/fetch.sh
	@toolchain/fetch.sh $(MBEDTLS_SOURCE) $(MBEDTLS_FILE) $(MBEDTLS_SHA256) $@
build/dist/$(LIBCOAP_FILE): toolchain/versions.mk toolchain/fetch.sh
	@toolchain/fetch.sh $(LIBCOAP_SOURCE) $(LIBCOAP_FILE) $(LIBCOAP_SHA256) $@
build/dist/$(LIBCOAP_FIXES_FILE): toolchain/versions.mk toolchain/fetch.sh
	@toolchain/fetch.sh $(LIBCOAP_SOURCE) $(LIBCOAP_FIXES_FILE) $(LIBCOAP_FIXES_SHA256) $@

$(MBEDTLS_DIR)/.unpacked: build/dist/$(MBEDTLS_FILE) $(MBEDTLS_PATCHES) toolchain/unpack.sh build/patches.list
	@toolchain/unpack.sh $< $(@D) $(MBEDTLS_PATCHES)
$(LIBCOAP_DIR)/.unpacked: export FIXES := build/dist/$(LIBCOAP_FIXES_FILE)
$(LIBCOAP_DIR)/.unpacked: build/dist/$(LIBCOAP_FILE) build/dist/$(LIBCOAP_FIXES_FILE) $(LIBCOAP_PATCHES) \
		toolchain/unpack.sh build/patches.list
	@toolchain/unpack.sh $< $(@D) $(addprefix fix:,$(LIBCOAP_FIXES)) $(LIBCOAP_PATCHES)

# Files that change only when what they record changes: a patch taken away, a flag.
build/patches.list: FORCE
	@mkdir -p build/src
	@echo '$(MBEDTLS_PATCHES) $(LIBCOAP_PATCHES)' | cmp -s - $@ || echo '$(MBEDTLS_PATCHES) $(LIBCOAP_PATCHES)' >$@
$(DEPS_DIR)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(TARGET_CC) $(DEPS_CFLAGS) $(TARGET_CMAKE)' | cmp -s - $@ || \
		echo '$(TARGET_CC) $(DEPS_CFLAGS) $(TARGET_CMAKE)' >$@

$(DEPS_DIR)/%/built: toolchain/mbedtls_config.h toolchain/mbedtls_config_%.h toolchain/build.sh $(DEPS_DIR)/flags \
		$(MBEDTLS_DIR)/.unpacked $(LIBCOAP_DIR)/.unpacked
	+@TARGET_CC='$(TARGET_CC)' TARGET_AR='$(TARGET_AR)' TARGET_CFLAGS='$(DEPS_CFLAGS)' \
		TARGET_CMAKE='$(TARGET_CMAKE)' V='$(V)' \
		toolchain/build.sh $* $(@D) $(MBEDTLS_DIR) $(LIBCOAP_DIR)

check-fresh:
	@tests/check-fresh

.PHONY: setup setup-cross deps check-fresh FORCE
FORCE:
