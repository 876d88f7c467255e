# The third-party sources that are built here: what, which bytes, from where.
#
# Every file is one of Debian's source files; toolchain/fetch.sh asks each Debian archive that this machine's
# apt knows for it, and takes nothing whose SHA-256 differs. To move to another version: change the version, put
# the new sum, run `make deps`, and read the patches that no longer apply.
#
# SUPPLIER, LICENSE (an SPDX expression) and CPE (vendor:product, as vulnerabilities are filed) are for the SBOM, which
# toolchain/sbom.py makes of this file.

# 3.6.6 is what Debian 13 keeps. 3.6.7 (so far in Debian unstable alone, whose files go when it moves on) fixes more; of
# its fixes CVE-2026-50581 is in code that we compile: patches/mbedtls/extended-master-secret-error.patch mends it.
# CVE-2026-50580, an overflow with ECDHE-PSK, is in the branch for MBEDTLS_USE_PSA_CRYPTO, which stays off.
MBEDTLS_VERSION := 3.6.6
MBEDTLS_SOURCE  := mbedtls
MBEDTLS_FILE    := mbedtls_$(MBEDTLS_VERSION).orig.tar.bz2
MBEDTLS_SHA256  := 8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a
MBEDTLS_SUPPLIER := Trusted Firmware
MBEDTLS_LICENSE  := Apache-2.0 OR GPL-2.0-or-later
MBEDTLS_CPE      := arm:mbed_tls

LIBCOAP_VERSION := 4.3.5
LIBCOAP_SOURCE  := libcoap3
LIBCOAP_FILE    := libcoap3_$(LIBCOAP_VERSION).orig.tar.bz2
LIBCOAP_SHA256  := a332b682ceacef4c3130b2fb17851db02020c3f64b8a562c1ffd8d9b8a9320d4
LIBCOAP_SUPPLIER := libcoap contributors
LIBCOAP_LICENSE  := BSD-2-Clause AND BSD-1-Clause
LIBCOAP_CPE      := libcoap:libcoap

# Debian's security fixes for its 4.3.4 that 4.3.5 lacks too. The archive's other two, CVE-2024-0962 and
# CVE-2024-31031, are part of 4.3.5. Of the nine of CVE-2025-65493 to 65501 the part in coap_openssl.c is left out
# when it is applied (toolchain/unpack.sh): it does not fit 4.3.5, and that file is not compiled.
LIBCOAP_FIXES_FILE   := libcoap3_4.3.4-1.1+deb13u3.debian.tar.xz
LIBCOAP_FIXES_SHA256 := 4c225353780fe616013c67bd65307c08aa0d423111520cbad1f89596b32ba471
LIBCOAP_FIXES := \
	CVE-2025-59391.patch \
	CVE-2025-65501+65500+65499+65498+65497+65496+65495+65494+65493.patch \
	CVE-2025-34468.patch \
	CVE-2026-29013.patch

# --- routers only: what a plain host takes from Debian's -dev packages; fetched when TARGET is a router ---

MUSL_VERSION := 1.2.5
MUSL_SOURCE  := musl
MUSL_FILE    := musl_$(MUSL_VERSION).orig.tar.gz
MUSL_SHA256  := a9a118bbe84d8764da0ea0d28b3ab3fae8477fc7e4085d90102b8596fc7c75e4
MUSL_SUPPLIER := musl contributors
MUSL_LICENSE  := MIT
MUSL_CPE      := musl-libc:musl

# Debian's patches, but for static-pie.patch, which is about a specs file that is not used here.
MUSL_FIXES_FILE   := musl_1.2.5-3.debian.tar.xz
MUSL_FIXES_SHA256 := e786776d6a3f382255ae4abcd8cc41287adb6365d1f123ad72769f0737c62072
MUSL_FIXES := \
	CVE-2025-26519-0001_iconv_fix_erroneous_input_validation_in_EUC_KR_decod.patch \
	CVE-2025-26519-0002_iconv_harden_UTF_8_output_code_path_against_input_de.patch \
	renameat2.patch

# Of GCC only libgcc: the arithmetic of a processor without FPU, which Debian packages for MIPS with hard floats alone.
# The tarball holds another one; the older version's source and the compiler are of one Debian release.
LIBGCC_VERSION := 12.2.0
LIBGCC_SOURCE  := gcc-12
LIBGCC_FILE    := gcc-12_$(LIBGCC_VERSION).orig.tar.gz
LIBGCC_SHA256  := b8298be16aeeb96a889c6afed0a8e2241b47452e89cc81fe65ea849d5c740fcb
LIBGCC_SUPPLIER := Free Software Foundation
LIBGCC_LICENSE  := GPL-3.0-or-later WITH GCC-exception-3.1
LIBGCC_CPE      := gnu:gcc
LIBGCC_INNER   := gcc-12-$(LIBGCC_VERSION)/gcc-$(LIBGCC_VERSION)-dfsg.tar.xz
LIBGCC_PARTS   := gcc-$(LIBGCC_VERSION)/libgcc gcc-$(LIBGCC_VERSION)/include

ZLIB_VERSION := 1.3.1
ZLIB_SOURCE  := zlib
ZLIB_FILE    := zlib_1.3.dfsg+really$(ZLIB_VERSION).orig.tar.gz
ZLIB_SHA256  := 60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb
ZLIB_SUPPLIER := Jean-loup Gailly and Mark Adler
ZLIB_LICENSE  := Zlib
ZLIB_CPE      := zlib:zlib

PROTOBUF_C_VERSION := 1.5.1
PROTOBUF_C_SOURCE  := protobuf-c
PROTOBUF_C_FILE    := protobuf-c_$(PROTOBUF_C_VERSION).orig.tar.gz
PROTOBUF_C_SHA256  := 20d1dc257da96f8ddff8be4dd9779215bbd0a6069ed53bbe9de38fa7629be06b
PROTOBUF_C_SUPPLIER := protobuf-c contributors
PROTOBUF_C_LICENSE  := BSD-2-Clause
PROTOBUF_C_CPE      := protobuf-c_project:protobuf-c

LIBEV_VERSION := 4.33
LIBEV_SOURCE  := libev
LIBEV_FILE    := libev_$(LIBEV_VERSION).orig.tar.gz
LIBEV_SHA256  := 507eb7b8d1015fbec5b935f34ebed15bf346bed04a11ab82b8eee848c4205aea
LIBEV_SUPPLIER := Marc Alexander Lehmann
LIBEV_LICENSE  := BSD-2-Clause OR GPL-2.0-or-later

LIBINIH_VERSION := 59
LIBINIH_SOURCE  := libinih
LIBINIH_FILE    := libinih_$(LIBINIH_VERSION).orig.tar.gz
LIBINIH_SHA256  := 062279922805f5e9a369551a08d5ddb506140fe50774183ffdbb7c22bb97e3f4
LIBINIH_SUPPLIER := Ben Hoyt
LIBINIH_LICENSE  := BSD-3-Clause

# For unit tests under an emulator; in no artefact.
CMOCKA_VERSION := 1.1.7
CMOCKA_SOURCE  := cmocka
CMOCKA_FILE    := cmocka_$(CMOCKA_VERSION).orig.tar.xz
CMOCKA_SHA256  := 810570eb0b8d64804331f82b29ff47c790ce9cd6b163e98d47a4807047ecad82

# The schema of CycloneDX 1.6, from Debian 13's library for it: the tests hold our SBOMs against that.
CYCLONEDX_SOURCE := cyclonedx-python-lib
CYCLONEDX_FILE   := python3-cyclonedx-lib_9.1.0-2_all.deb
CYCLONEDX_SHA256 := 5e221d5ecf0a92e3ec4087d93894872b02ffff4d3d530099530889edde111512
