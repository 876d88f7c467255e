#   make sbom        bills of materials (CycloneDX): FILE.cdx.json beside every program and package
#
# Two kinds of artefact have one. Whoever adds an artefact says so:
#   $(eval $(call binary_sbom,PROGRAM,LIBRARY...))      LIBRARY: a name of versions.mk that is linked in, as MBEDTLS
#   $(eval $(call package_sbom,PACKAGE,TYPE,PROGRAM...))   TYPE: application or container; PROGRAM has a bill already
# Shared libraries of a program are found by the tool. The SBOM describes what is delivered: compilers, headers and
# libraries for tests are not in it. From the kernel's headers come numbers only.

BINARY_SBOMS  :=
PACKAGE_SBOMS :=

# What is linked into a program: of a router all, of the host what Debian's libraries cannot be.
ROUTER_LIBRARIES := MBEDTLS LIBCOAP PROTOBUF_C LIBEV LIBINIH ZLIB MUSL
SBOM_LIBRARIES   := $(if $(TARGET_MUSL),$(ROUTER_LIBRARIES) LIBGCC,MBEDTLS LIBCOAP)
# Where the support of the compiler is Debian's, it says which.
LIBGCC_COMPILER := $(if $(TARGET_OWN_LIBGCC),,$(TARGET_TOOLS)gcc)

# Which library calls which.
SBOM_NEEDS_MUSL    := libgcc
SBOM_NEEDS_LIBCOAP := mbedtls musl libgcc
SBOM_NEEDS_LIBGCC  :=
$(foreach library,MBEDTLS PROTOBUF_C LIBEV LIBINIH ZLIB,$(eval SBOM_NEEDS_$(library) := musl libgcc))

sbom_name = $$(echo $(1) | tr A-Z_ a-z-)
sbom_component = --component "name=$(sbom_name)" 'version=$($(1)_VERSION)' 'supplier=$($(1)_SUPPLIER)' \
	'license=$($(1)_LICENSE)' 'file=$($(1)_FILE)' 'sha256=$($(1)_SHA256)' 'cpe=$($(1)_CPE)' \
	"patches=$$(echo toolchain/patches/$(sbom_name)/*.patch | grep -v '[*]')" \
	'fixes=$($(1)_FIXES)' 'fixes_file=$($(1)_FIXES_FILE)' 'needs=$(SBOM_NEEDS_$(1))' \
	'compiler=$($(1)_COMPILER)'
SBOM_MADE_OF := toolchain/sbom.py toolchain/sbom.mk toolchain/versions.mk $(wildcard toolchain/patches/*/*.patch)

define binary_sbom
BINARY_SBOMS += $(1).cdx.json
$(1).cdx.json: $(1) $(SBOM_MADE_OF)
	$$(call say,SBOM,$$@)
	$$(Q)toolchain/sbom.py binary $$< $$@ --version '$$(VERSION)' --time $$(BUILD_TIME) \
		$$(foreach library,$(2),$$(call sbom_component,$$(library)))
endef
define package_sbom
PACKAGE_SBOMS += $(1).cdx.json
$(1).cdx.json: $(1) $(addsuffix .cdx.json,$(3)) toolchain/sbom.py
	$$(call say,SBOM,$$@)
	$$(Q)toolchain/sbom.py package $$< $$@ --version '$$(VERSION)' --time $$(BUILD_TIME) --type $(2) \
		--holds $(addsuffix .cdx.json,$(3))
endef

$(eval $(call binary_sbom,$(B)/jaga-agent,$(SBOM_LIBRARIES)))
ifeq ($(TARGET),host)
$(eval $(call binary_sbom,$(B)/jaga-collector,$(SBOM_LIBRARIES)))
$(eval $(call binary_sbom,$(B)/jaga,))
endif

# Only its schemas are used (tests/toolchain/test_sbom.py).
CYCLONEDX_SCHEMAS := build/cyclonedx/bom-1.6.SNAPSHOT.schema.json
build/dist/$(CYCLONEDX_FILE): toolchain/versions.mk toolchain/fetch.sh
	@toolchain/fetch.sh $(CYCLONEDX_SOURCE) $(CYCLONEDX_FILE) $(CYCLONEDX_SHA256) $@
$(CYCLONEDX_SCHEMAS): build/dist/$(CYCLONEDX_FILE)
	$(Q)mkdir -p $(@D) && dpkg-deb --fsys-tarfile $< | \
		tar -xmf - -C $(@D) --wildcards --transform='s,.*/,,' '*.schema.json'
