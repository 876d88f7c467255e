# Emulated routers (docs/guests.md).
#   make firmware-test   the agents of build/mips, mipsel and x86_64 as routers in QEMU (root; 20 minutes); ONLY=EXPRESSION as pytest -k
#   make guests          kernels and root file systems of the guests, in build/guest/ARCH
#   make guest-shell     a shell in a guest: ARCH=mips|mipsel|x86_64
GUEST_ARCHES := mips mipsel x86_64
GUEST_DIR    := build/guest
ARCH         ?= mips

# The guests' userland; no part of anything that is shipped. The version of Debian 12.
BUSYBOX_FILE   := busybox_1.35.0.orig.tar.bz2
BUSYBOX_SHA256 := faeeb244c35a348a334f4a59e44626ee870fb07b6884d68c10ae8bc19f83a694

# Programs of a guest are built like a router's: by make TARGET=ARCH, with that target's compiler and C library.
ifdef TARGET_MUSL
GUEST_BUSYBOX := $(GUEST_DIR)/$(TARGET)/busybox
$(GUEST_BUSYBOX): build/dist/$(BUSYBOX_FILE) tests/guest/busybox.sh tests/guest/busybox.config | $(DEPS_SYSROOT_STAMP)
	$(call say,BUSYBOX,$@)
	$(Q)CC='$(abspath $(TARGET_CC))' STRIP='$(TARGET_TOOLS)strip' tests/guest/busybox.sh $< tests/guest/busybox.config $@

# What busybox cannot, over our own netlink encoder.
GUESTCTL := $(GUEST_DIR)/$(TARGET)/guestctl
$(B)/obj/tests/guest/%.o: tests/guest/%.c $(DEPS_AGENT_STAMP) | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) $(AGENT_CFLAGS) -c -o $@ $<
$(B)/tests/guest/guestctl: $(patsubst %,$(B)/obj/%.o,tests/guest/guestctl agent/router/netlink agent/router/nft \
		agent/router/nl_socket) $(B)/libcommon.a
	$(call link,)
$(GUESTCTL): $(B)/tests/guest/guestctl
	$(Q)mkdir -p $(@D) && $(TARGET_TOOLS)strip -o $@ $<
guest-programs: $(GUEST_BUSYBOX) $(GUESTCTL)
endif

build/dist/$(BUSYBOX_FILE): toolchain/fetch.sh
	@toolchain/fetch.sh busybox $(BUSYBOX_FILE) $(BUSYBOX_SHA256) $@

# Debian's kernels for those that have one; the packages stay in the user's cache.
$(GUEST_DIR)/x86_64/package: tests/guest/packages.sh
	@tests/guest/packages.sh amd64 $@ linux-image-amd64 && touch $@
$(GUEST_DIR)/mipsel/package: tests/guest/packages.sh
	@tests/guest/packages.sh mipsel $@ linux-image-4kc-malta && touch $@
$(GUEST_DIR)/x86_64/kernel $(GUEST_DIR)/mipsel/kernel: $(GUEST_DIR)/%/kernel: $(GUEST_DIR)/%/package tests/guest/image.py
	@$(PYTHON) -m tests.guest.image kernel $</boot/vmlinuz-* --out $@
# Debian has no big-endian MIPS any more: its source has.
$(GUEST_DIR)/linux-source: tests/guest/packages.sh
	@tests/guest/packages.sh amd64 $@ linux-source-6.1 && touch $@
$(GUEST_DIR)/mips/kernel: $(GUEST_DIR)/linux-source tests/guest/kernel.sh tests/guest/kernel-mips.config
	@CROSS_COMPILE=mips-linux-gnu- tests/guest/kernel.sh $</usr/src/linux-source-6.1.tar.xz mips tests/guest/kernel-mips.config $@

GUEST_ROOT_DEPS := tests/guest/image.py tests/guest/cpio.py $(wildcard tests/guest/root/*)
$(GUEST_DIR)/%/root.cpio: $(GUEST_DIR)/%/programs $(GUEST_ROOT_DEPS) $(GUEST_DIR)/%/kernel
	@$(PYTHON) -m tests.guest.image root $(@D)/busybox $(@D)/guestctl --out $@ $(if $(filter-out mips,$*),--modules $(@D)/package)
# Looked after by that target's own make; newer than what it made.
$(GUEST_DIR)/%/programs: FORCE
	@$(MAKE) --no-print-directory $(QUIET) TARGET=$* guest-programs
	@mkdir -p $(@D) && { [ $@ -nt $(@D)/busybox ] && [ $@ -nt $(@D)/guestctl ] || touch $@; }

guest-%: $(GUEST_DIR)/%/kernel $(GUEST_DIR)/%/root.cpio ;
guests: setup-cross
	@$(MAKE) --no-print-directory $(QUIET) $(GUEST_ARCHES:%=guest-%)

guest-shell: setup-cross
	@$(MAKE) --no-print-directory $(QUIET) guest-$(ARCH)
	@$(PYTHON) -m tests.guest.shell $(ARCH)

# What is booted is what is packaged: the first tests compare the two.
firmware-test: ready guests
	@$(MAKE) --no-print-directory $(QUIET) $(PARALLEL) $(GUEST_ARCHES:%=build/%/jaga-agent) packages-openwrt \
		$(PACKAGES)/routeros/jaga-agent-$(PACKAGE_VERSION)-amd64.tar
	@JAGA_PACKAGE_VERSION='$(PACKAGE_VERSION)' $(PYTHON) -m pytest -q tests/guest $(if $(ONLY),-k '$(ONLY)')

.PHONY: guests guest-programs guest-shell firmware-test
