#   make packages    packages and images of every kind, in build/packages
#
# A kind of package is a folder here with a module.mk of its own, which defines its target packages-KIND, puts its
# results into $(PACKAGES)/KIND, and adds that target to PACKAGE_KINDS. What all kinds share stands here.

PACKAGES      := build/packages
PACKAGE_KINDS :=

# What a package is called by: the tag or commit without the "v" of a tag.
PACKAGE_VERSION := $(VERSION:v%=%)

# The agents of routers, each built by a make of its own, which knows whether there is something to do.
ROUTER_AGENTS := $(patsubst %,build/%/jaga-agent,$(filter-out $(TARGET),mips mipsel armv5 armv7 arm64 x86_64))
$(ROUTER_AGENTS): build/%/jaga-agent: FORCE
	+@$(MAKE) --no-print-directory agent TARGET=$*

include $(sort $(wildcard firmware-build/*/module.mk))

packages: $(PACKAGE_KINDS)

.PHONY: packages $(PACKAGE_KINDS)
