#   make packages-openwrt   .ipk and .apk for OpenWrt (docs/openwrt.md); KEY=private.pem signs the .apk

PACKAGE_KINDS += packages-openwrt
KEY ?=

OPENWRT_INPUTS := firmware-build/openwrt/package.py firmware-build/openwrt/describe \
	$(shell find firmware-build/openwrt/files firmware-build/openwrt/scripts -type f)
# Before the first tag: 0.0.COMMITS, so that what is newer sorts behind what is older, and before the first release.
OPENWRT_VERSION := $(if $(findstring .,$(VERSION)),$(VERSION),0.0.$(shell git rev-list --count HEAD)-0-g$(VERSION))
openwrt_file = $(PACKAGES)/openwrt/jaga-agent-$(PACKAGE_VERSION)-$(1)

# openwrt_package ARCHITECTURE,TARGET: what opkg and apk call it, and whose agent it is. Those of other versions go.
define openwrt_package
OPENWRT_PACKAGES += $(call openwrt_file,$(1)).ipk $(call openwrt_file,$(1)).apk
$(call openwrt_file,$(1)).ipk $(call openwrt_file,$(1)).apk &: build/$(2)/jaga-agent $(OPENWRT_INPUTS)
	$$(call say,PACKAGE,$(call openwrt_file,$(1)))
	$$(Q)mkdir -p $$(@D) && rm -f $(addprefix $(PACKAGES)/openwrt/jaga-agent-*-$(1),.ipk* .apk*)
	$$(Q)$$(PYTHON) firmware-build/openwrt/package.py --agent $$< --arch $(1) --version '$$(OPENWRT_VERSION)' \
		--mtime $$(BUILD_TIME) $$(addprefix --key ,$$(KEY)) $(call openwrt_file,$(1)).ipk $(call openwrt_file,$(1)).apk
$(call package_sbom,$(call openwrt_file,$(1)).ipk,application,build/$(2)/jaga-agent)
$(call package_sbom,$(call openwrt_file,$(1)).apk,application,build/$(2)/jaga-agent)
endef
# ath79 and ar71xx; ramips (mt7621 and others)
$(eval $(call openwrt_package,mips_24kc,mips))
$(eval $(call openwrt_package,mipsel_24kc,mipsel))

packages-openwrt: $(OPENWRT_PACKAGES)
