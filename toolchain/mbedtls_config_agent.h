/*
 * mbedTLS for the agent: a client only, and small rather than fast. A router has some 100 KB of flash to give.
 */
#ifndef JAGA_MBEDTLS_CONFIG_AGENT_H
#define JAGA_MBEDTLS_CONFIG_AGENT_H

#include "mbedtls_config.h"

#define MBEDTLS_AES_ROM_TABLES
#define MBEDTLS_AES_FEWER_TABLES
#define MBEDTLS_AES_ONLY_128_BIT_KEY_LENGTH
#define MBEDTLS_CTR_DRBG_USE_128_BIT_KEY
#define MBEDTLS_SHA256_SMALLER
/* Verified code from Project Everest for x25519: 8 KB, and the two multiplications of a handshake take a 24Kc 15.5 million
 * instructions instead of the 31.8 million of general big numbers. */
#define MBEDTLS_ECDH_VARIANT_EVEREST_ENABLED
#define MBEDTLS_ECP_WINDOW_SIZE 2
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 0
#define MBEDTLS_ERROR_STRERROR_DUMMY /* libcoap prints error numbers; their texts are 12 KB */

#endif
