#   make packages-debian   jaga-agent and jaga-collector for Debian 12 and newer (docs/debian.md)

PACKAGE_KINDS += packages-debian

# Debian's order of versions: the tag, then the commits since; before the first tag, the commits from the beginning.
DEBIAN_VERSION := $(shell firmware-build/debian/version.sh '$(VERSION)' "$$(git rev-list --count HEAD 2>/dev/null)")
DEBIAN_ARCH    := $(shell dpkg --print-architecture 2>/dev/null || echo amd64)
# Everything that `make install` would put on this machine; each package takes its part.
DEBIAN_STAGE   := $(B)/debian
DEBIAN_AGENT     := $(DEBIAN_STAGE)/root/usr/sbin/jaga-agent
DEBIAN_COLLECTOR := $(DEBIAN_STAGE)/root/usr/sbin/jaga-collector
DEBIAN_CLI       := $(DEBIAN_STAGE)/root/usr/bin/jaga

$(DEBIAN_STAGE)/staged: $(B)/jaga-agent $(B)/jaga-collector $(B)/jaga install.mk $(MAN_PAGES) $(EXAMPLES) \
		$(wildcard docs/systemd/* docs/completion/*)
	$(Q)rm -rf $(DEBIAN_STAGE)/root
	@$(MAKE) --no-print-directory $(QUIET) install DESTDIR=$(CURDIR)/$(DEBIAN_STAGE)/root PREFIX=/usr \
		UNITDIR=/lib/systemd/system >/dev/null
	$(Q)strip --strip-all --remove-section=.comment --remove-section=.note \
		$(DEBIAN_AGENT) $(DEBIAN_COLLECTOR) $(DEBIAN_CLI)
	$(Q)touch $@
$(DEBIAN_AGENT) $(DEBIAN_COLLECTOR) $(DEBIAN_CLI): $(DEBIAN_STAGE)/staged ;

# Bills of the programs as they are packed, without symbols.
$(eval $(call binary_sbom,$(DEBIAN_AGENT),$(SBOM_LIBRARIES)))
$(eval $(call binary_sbom,$(DEBIAN_COLLECTOR),$(SBOM_LIBRARIES)))
$(eval $(call binary_sbom,$(DEBIAN_CLI),))

# debian_package NAME,PROGRAM...: the package, and the bill of what is in it. Those of other versions go.
define debian_package
DEBIAN_PACKAGES += $(PACKAGES)/debian/$(1)_$(DEBIAN_VERSION)_$(DEBIAN_ARCH).deb
$(PACKAGES)/debian/$(1)_$(DEBIAN_VERSION)_$(DEBIAN_ARCH).deb: $(DEBIAN_STAGE)/staged firmware-build/debian/package.sh \
		firmware-build/debian/copyright $$(wildcard firmware-build/debian/$(1)/*)
	$$(call say,DEB,$$@)
	$$(Q)mkdir -p $$(@D) && rm -f $$(@D)/$(1)_*
	$$(Q)SOURCE_DATE_EPOCH=$$(BUILD_TIME) firmware-build/debian/package.sh $(1) '$$(DEBIAN_VERSION)' \
		$$(DEBIAN_ARCH) $$(DEBIAN_STAGE)/root $$@
$(call package_sbom,$(PACKAGES)/debian/$(1)_$(DEBIAN_VERSION)_$(DEBIAN_ARCH).deb,application,$(2))
endef
$(eval $(call debian_package,jaga-agent,$(DEBIAN_AGENT)))
$(eval $(call debian_package,jaga-collector,$(DEBIAN_COLLECTOR) $(DEBIAN_CLI)))

packages-debian: $(DEBIAN_PACKAGES)
