/*
 * mbedTLS for the collector: a server (and a client, for the tests' load program), fast rather than small.
 */
#ifndef JAGA_MBEDTLS_CONFIG_COLLECTOR_H
#define JAGA_MBEDTLS_CONFIG_COLLECTOR_H

#include "mbedtls_config.h"

/* No state for a client that has not shown that it receives at the address it claims (RFC 6347, 4.2.1). */
#define MBEDTLS_SSL_SRV_C
#define MBEDTLS_SSL_COOKIE_C
#define MBEDTLS_SSL_DTLS_HELLO_VERIFY

/* x25519 in 64-bit limbs (verified code from Project Everest) instead of general big numbers. */
#define MBEDTLS_ECDH_VARIANT_EVEREST_ENABLED

#define MBEDTLS_AESNI_C
#define MBEDTLS_ERROR_C

#endif
