/*
 * mbedTLS for the agent of targets that drive RouterOS routers too: what their API over TLS wants beside what the
 * collector's DTLS does. These machines have 64 MB and more.
 *
 * DTLS stays as it is: MBEDTLS_SSL_CIPHERSUITES, the list of who does not ask for another, still names one suite, and
 * libcoap takes that list and is compiled without certificates. Only agent/router/ros_tls.c names the suites below.
 */
#ifndef JAGA_MBEDTLS_CONFIG_AGENT_ROUTEROS_H
#define JAGA_MBEDTLS_CONFIG_AGENT_ROUTEROS_H

#include "mbedtls_config_agent.h"

#define MBEDTLS_MD5_C /* the login of RouterOS before 6.43 */

/* RouterOS speaks TLS 1.2, with RSA keys unless told otherwise. 6.x agrees on DHE, not on ECDHE. No key exchange without
 * forward secrecy, no CBC, no SHA-1. TLS 1.3 would need the whole of PSA. */
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
#define MBEDTLS_KEY_EXCHANGE_ECDHE_RSA_ENABLED
#define MBEDTLS_KEY_EXCHANGE_DHE_RSA_ENABLED
#define MBEDTLS_DHM_C
#define MBEDTLS_GCM_C
#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C /* certificates are signed with it */
#undef MBEDTLS_AES_ONLY_128_BIT_KEY_LENGTH

/* Certificates, of a router and of the file that it is verified with. */
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_OID_C
#define MBEDTLS_PEM_PARSE_C
#define MBEDTLS_BASE64_C
#define MBEDTLS_RSA_C
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_DP_SECP384R1_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM

/* A TLS record holds up to 16 KB and cannot be refused; what we send is short. */
#undef MBEDTLS_SSL_IN_CONTENT_LEN
#define MBEDTLS_SSL_IN_CONTENT_LEN 16384

#endif
