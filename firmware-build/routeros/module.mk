#   make packages-routeros   container images for RouterOS 7 (docs/routeros.md)

PACKAGE_KINDS += packages-routeros

# routeros_image NAME,TARGET,PLATFORM (docs/routeros.md says which router is which). Those of other versions go.
define routeros_image
ROUTEROS_IMAGES += $(PACKAGES)/routeros/jaga-agent-$(PACKAGE_VERSION)-$(1).tar
$(PACKAGES)/routeros/jaga-agent-$(PACKAGE_VERSION)-$(1).tar: build/$(2)/jaga-agent firmware-build/routeros/image.sh
	$$(call say,IMAGE,$$@)
	$$(Q)mkdir -p $$(@D) && rm -f $$(@D)/*-$(1).tar $$(@D)/*-$(1).tar.cdx.json
	$$(Q)firmware-build/routeros/image.sh $$< $(3) $$(PACKAGE_VERSION) $$(BUILD_TIME) $$@
$(call package_sbom,$(PACKAGES)/routeros/jaga-agent-$(PACKAGE_VERSION)-$(1).tar,container,build/$(2)/jaga-agent)
endef
$(eval $(call routeros_image,armv5,armv5,arm/v5))
$(eval $(call routeros_image,armv7,armv7,arm/v7))
$(eval $(call routeros_image,arm64,arm64,arm64/v8))
$(eval $(call routeros_image,amd64,x86_64,amd64))

packages-routeros: $(ROUTEROS_IMAGES)
