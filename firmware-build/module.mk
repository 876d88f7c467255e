#   make packages    packages and images of every kind, in build/packages
#
# A kind of package is a folder here with a module.mk of its own, which defines its target packages-KIND, puts its
# results into $(PACKAGES)/KIND, and adds that target to PACKAGE_KINDS. What all kinds share stands here.

PACKAGES      := build/packages
PACKAGE_KINDS :=

# What a package is called by: the tag or commit without the "v" of a tag. Packages for other routers never hold a build
# of the host: their agents are build/TARGET/jaga-agent (toolchain/module.mk).
PACKAGE_VERSION := $(VERSION:v%=%)

-include firmware-build/*/module.mk

packages: $(PACKAGE_KINDS)

.PHONY: packages $(PACKAGE_KINDS)
