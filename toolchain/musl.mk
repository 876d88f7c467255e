# What all routers have in common: musl, static, small. Included by module.mk after toolchain/TARGET.mk, which says:
#   TARGET_TOOLS  prefix of Debian's cross tools      TARGET_CPU   the processor's name for cmake
#   TARGET_ARCH   its flags                           TARGET_MUSL  its name for musl's configure
#   TARGET_UAPI   folders of the kernel's headers     TARGET_FLOAT soft: there is no FPU, and no instruction for one
#   TARGET_PIE    yes: static-pie                     TARGET_QEMU  the emulator that runs its programs here
#
# SYSROOT takes the place of Debian's -dev packages: C library, compiler support, zlib, protobuf-c, libev, libinih and
# cmocka. SYSROOT/bin/cc compiles and links against it and nothing else, so every other rule is the host's.
ifneq ($(SAN),)
$(error SAN=$(SAN) instruments this machine's programs only; TARGET=$(TARGET) is a router)
endif

SYSROOT   := $(DEPS_DIR)/sysroot
TARGET_CC := $(CURDIR)/$(SYSROOT)/bin/cc
TARGET_AR := $(TARGET_TOOLS)gcc-ar

TARGET_CFLAGS := -Os -g -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables \
	-fstack-protector-strong
TARGET_CMAKE  := -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=$(TARGET_CPU) \
	-DCMAKE_FIND_ROOT_PATH=$(CURDIR)/$(SYSROOT) -DHAVE_IFADDRS_H=

# HAVE_IFADDRS_H: libcoap would list all interfaces for multicast, which is not used.

# The same for our own code.
CC       := $(TARGET_CC)
AR       := $(TARGET_AR)
STRIP    := $(TARGET_TOOLS)strip
CFLAGS   := $(TARGET_CFLAGS) -ffile-prefix-map=$(CURDIR)=.
HARDEN   :=
LDHARDEN := -Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections

SYSROOT_SOURCES := MUSL ZLIB PROTOBUF_C LIBEV LIBINIH CMOCKA $(if $(TARGET_OWN_LIBGCC),LIBGCC)
DEPS_SYSROOT_STAMP := $(SYSROOT)/built

$(DEPS_SYSROOT_STAMP): toolchain/sysroot.sh toolchain/softgcc.sh $(wildcard toolchain/softgcc/*) $(DEPS_DIR)/flags \
		$(foreach name,$(SYSROOT_SOURCES),$($(name)_DIR)/.unpacked)
	+@TOOLS='$(TARGET_TOOLS)' ARCH='$(TARGET_ARCH)' CFLAGS='$(TARGET_CFLAGS)' MUSL='$(TARGET_MUSL)' UAPI='$(TARGET_UAPI)' \
		PIE='$(TARGET_PIE)' V='$(V)' $(foreach name,$(SYSROOT_SOURCES),$(name)_DIR='$($(name)_DIR)') \
		toolchain/sysroot.sh $(@D)
