/*
 * What both ends of Jaga's transport compile into mbedTLS: DTLS 1.2 with one cipher suite,
 * ECDHE-PSK-CHACHA20-POLY1305 over x25519. It has forward secrecy, and needs neither certificates nor a clock that is
 * right; no other suite exists in the binary, so none can be negotiated (libcoap offers no choice at run time).
 * Included by mbedtls_config_agent.h and mbedtls_config_collector.h, which add what differs. What stands in neither
 * is off on purpose: certificates and ASN.1, plain PSK, TLS 1.3, TCP, connection IDs (libcoap 4.3.5 moves a session's
 * address before it authenticates the record), renegotiation, tickets, debug output.
 */
#ifndef JAGA_MBEDTLS_CONFIG_H
#define JAGA_MBEDTLS_CONFIG_H

#define MBEDTLS_HAVE_ASM
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_VERSION_C /* libcoap logs it */

/* Timers for retransmissions and cookies; patched to read the monotonic clock (patches/mbedtls/monotonic-clock.patch).
 * MBEDTLS_HAVE_TIME_DATE, a true calendar, stays off. */
#define MBEDTLS_HAVE_TIME
#define MBEDTLS_TIMING_C

/* Random numbers: getrandom() into CTR-DRBG. Every session of libcoap has a pool of its own, so one source each. */
#define MBEDTLS_ENTROPY_C
#define MBEDTLS_ENTROPY_MAX_SOURCES 1
#define MBEDTLS_CTR_DRBG_C
#define MBEDTLS_AES_C /* for CTR-DRBG alone */

/* The suite and what it is made of. */
#define MBEDTLS_SSL_CIPHERSUITES MBEDTLS_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256
#define MBEDTLS_KEY_EXCHANGE_ECDHE_PSK_ENABLED
#define MBEDTLS_CIPHER_C
#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_CHACHAPOLY_C
#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_CURVE25519_ENABLED
#define MBEDTLS_ECDH_C
#define MBEDTLS_PSK_MAX_LEN 32 /* 256-bit keys */

#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_CLI_C
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_SSL_PROTO_DTLS
#define MBEDTLS_SSL_DTLS_ANTI_REPLAY
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#define MBEDTLS_SSL_ALL_ALERT_MESSAGES

/* One datagram on an Ethernet path holds any record. This, not the 16 KB of the standard, makes a session cost 22 KB
 * rather than 53. The buffer for handshake messages out of order: a whole flight of this suite is below 1 KB. */
#define MBEDTLS_SSL_IN_CONTENT_LEN 1500
#define MBEDTLS_SSL_OUT_CONTENT_LEN 1500
#define MBEDTLS_SSL_DTLS_MAX_BUFFERING 4096

#endif
