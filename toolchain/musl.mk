# What all routers have in common: musl, static, small. Included by module.mk after toolchain/TARGET.mk, which says:
#   TARGET_TOOLS  prefix of Debian's cross tools      TARGET_CPU   the processor's name for cmake
#   TARGET_ARCH   its flags                           TARGET_MUSL  its name for musl's configure
#   TARGET_UAPI   folders of the kernel's headers     TARGET_FLOAT soft: there is no FPU, and no instruction for one
#   TARGET_PIE    yes: static-pie                     TARGET_QEMU  the emulator that runs its programs here
#   TARGET_DENSE  flags for smaller, slower code      TARGET_OWN_LIBGCC  yes: Debian's is for an FPU
#   TARGET_DRIVERS  linux: its agent runs on the router itself; unset: linux and routeros (module.mk)
#
# SYSROOT takes the place of Debian's -dev packages: C library, compiler support, zlib, protobuf-c, libev, libinih and
# cmocka. SYSROOT/bin/cc compiles and links against it and nothing else, so every other rule is the host's.
ifneq ($(SAN),)
$(error SAN=$(SAN) instruments this machine's programs only; TARGET=$(TARGET) is a router)
endif

SYSROOT   := $(DEPS_DIR)/sysroot
TARGET_CC := $(CURDIR)/$(SYSROOT)/bin/cc
TARGET_AR := $(TARGET_TOOLS)gcc-ar

# musl and mbedTLS have assembler that mixes neither with -mips16 nor with link-time optimization; and cryptography is
# where a handshake's time goes. All else is made as small as it gets.
TARGET_NO_UNWIND := -fno-asynchronous-unwind-tables -fno-unwind-tables
TARGET_CFLAGS := -Os -g -ffunction-sections -fdata-sections $(TARGET_NO_UNWIND) -fstack-protector-strong
TARGET_SMALL  := -flto $(TARGET_DENSE)
TARGET_CMAKE  := -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=$(TARGET_CPU) \
	-DCMAKE_FIND_ROOT_PATH=$(CURDIR)/$(SYSROOT)

# The same for our own code.
CC       := $(TARGET_CC)
AR       := $(TARGET_AR)
STRIP    := $(TARGET_TOOLS)strip
CFLAGS   := $(TARGET_CFLAGS) $(TARGET_SMALL)
HARDEN   :=
# Parallel, and without make's job server, which would have to know of it. Cut into the same parts on every machine. Code is
# made at this step, and gcc does not keep the wish for no unwind tables from the step before: 53 KB on arm64.
LDHARDEN := -flto=2 $(TARGET_NO_UNWIND) -Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections

# No collector runs there: tests of what both sides share see the agent's libraries.
DEPS_COLLECTOR_STAMP := $(DEPS_AGENT_STAMP)
DEPS_COLLECTOR_CFLAGS = $(DEPS_AGENT_CFLAGS)

SYSROOT_SOURCES := MUSL ZLIB PROTOBUF_C LIBEV LIBINIH CMOCKA $(if $(TARGET_OWN_LIBGCC),LIBGCC)
DEPS_SYSROOT_STAMP := $(SYSROOT)/built

$(DEPS_SYSROOT_STAMP): toolchain/sysroot.sh toolchain/softgcc.sh $(shell find toolchain/runtime -type f) $(DEPS_DIR)/flags \
		$(foreach name,$(SYSROOT_SOURCES),$($(name)_DIR)/.unpacked)
	+@TOOLS='$(TARGET_TOOLS)' ARCH='$(TARGET_ARCH)' CFLAGS='$(TARGET_CFLAGS)' SMALL='$(TARGET_SMALL)' MUSL='$(TARGET_MUSL)' UAPI='$(TARGET_UAPI)' \
		PIE='$(TARGET_PIE)' V='$(V)' $(foreach name,$(SYSROOT_SOURCES),$(name)_DIR='$($(name)_DIR)') \
		toolchain/sysroot.sh $(@D)
