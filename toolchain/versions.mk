# The third-party sources that are built here: what, which bytes, from where.
#
# Every file is one of Debian's source files; toolchain/fetch.sh asks each Debian archive that this machine's
# apt knows for it, and takes nothing whose SHA-256 differs. To move to another version: change the version, put
# the new sum, run `make deps`, and read the patches that no longer apply.

# 3.6.6 is what Debian 13 keeps. 3.6.7 (so far in Debian unstable alone, whose files go when it moves on) fixes more; of
# its fixes CVE-2026-50581 is in code that we compile: patches/mbedtls/extended-master-secret-error.patch mends it.
# CVE-2026-50580, an overflow with ECDHE-PSK, is in the branch for MBEDTLS_USE_PSA_CRYPTO, which stays off.
MBEDTLS_VERSION := 3.6.6
MBEDTLS_SOURCE  := mbedtls
MBEDTLS_FILE    := mbedtls_$(MBEDTLS_VERSION).orig.tar.bz2
MBEDTLS_SHA256  := 8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a

LIBCOAP_VERSION := 4.3.5
LIBCOAP_SOURCE  := libcoap3
LIBCOAP_FILE    := libcoap3_$(LIBCOAP_VERSION).orig.tar.bz2
LIBCOAP_SHA256  := a332b682ceacef4c3130b2fb17851db02020c3f64b8a562c1ffd8d9b8a9320d4

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
