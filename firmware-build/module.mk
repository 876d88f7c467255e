#   make packages    packages and images of every kind, in build/packages
#
# A kind of package is a folder here with a module.mk of its own, which defines its target packages-KIND, puts its
# results into $(PACKAGES)/KIND, and adds that target to PACKAGE_KINDS. What all kinds share stands here.

PACKAGES      := build/packages
PACKAGE_KINDS :=

# What a package is called by: the tag or commit without the "v" of a tag.
PACKAGE_VERSION := $(VERSION:v%=%)

# The agents of routers and their bills, each by a make of its own, which knows whether there is something to do.
ROUTER_AGENTS := $(patsubst %,build/%/jaga-agent,$(filter-out $(TARGET),$(ROUTERS)))
$(ROUTER_AGENTS) $(ROUTER_AGENTS:=.cdx.json): FORCE | setup-cross
	+@$(MAKE) --no-print-directory TARGET=$(word 2,$(subst /, ,$@)) $@
$(ROUTER_AGENTS:=.cdx.json): %.cdx.json: %

include toolchain/sbom.mk

# Packages are made of plain builds, by the make that has all of them.
ifeq ($(TARGET)$(SAN),host)
include $(sort $(wildcard firmware-build/*/module.mk))
$(PACKAGE_SBOMS:.cdx.json=): | setup-cross
$(foreach kind,$(PACKAGE_KINDS),$(eval $(kind): $(filter $(PACKAGES)/$(kind:packages-%=%)/%,$(PACKAGE_SBOMS))))
endif

# The copyright notices that the libraries' licenses want beside a program which holds them. That of libgcc does not.
$(PACKAGES)/THIRD-PARTY.txt: $(foreach library,$(ROUTER_LIBRARIES),$($(library)_DIR)/.unpacked) firmware-build/module.mk
	$(call say,NOTICES,$@)
	$(Q)mkdir -p $(@D) && for source in $(foreach library,$(ROUTER_LIBRARIES),$($(library)_DIR)); do \
		printf '\n======== %s ========\n\n' "$${source##*/}" && \
		find "$$source" -maxdepth 1 -name 'LICENSE*' -o -maxdepth 1 -name COPYRIGHT | grep . | xargs cat || exit 1; \
	done >$@

packages: $(PACKAGE_KINDS) $(PACKAGES)/THIRD-PARTY.txt
sbom: $(BINARY_SBOMS) $(ROUTER_AGENTS:=.cdx.json) $(PACKAGE_SBOMS)

.PHONY: packages sbom $(PACKAGE_KINDS)
