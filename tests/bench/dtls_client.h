/*
 * dtls_client: a DTLS client session straight on mbedTLS, and just enough CoAP, for programs that play agents: the
 * load program and the tests of the collector's CoAP server. It shares no code with what it measures.
 */
#ifndef JAGA_TESTS_BENCH_DTLS_CLIENT_H
#define JAGA_TESTS_BENCH_DTLS_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mbedtls/ssl.h>
#include <mbedtls/timing.h>

struct dtls_client {
	int fd; /* -1: none */
	mbedtls_ssl_config config;
	mbedtls_ssl_context ssl;
	mbedtls_timing_delay_context timer;
	bool is_established;
	int error; /* of mbedTLS, when the other side refused */
	uint16_t mid;
};

/* Socket bound to `source` (NULL: any) and connected. Returns 0 or a negative errno. The client must not move. */
int dtls_client_init(struct dtls_client *client, const struct sockaddr_in *source, const struct sockaddr_in *target,
		     const char *identity, const uint8_t key[static 32]);
/* Goes on with the handshake: 0 done, -EAGAIN call again when readable or after a second, else refused. */
int dtls_client_handshake(struct dtls_client *client);
int dtls_client_send(struct dtls_client *client, const uint8_t *bytes, size_t length);
/* Length of the datagram, -EAGAIN, or -ECONNRESET when the other side closed. */
int dtls_client_receive(struct dtls_client *client, uint8_t *ret_bytes, size_t size);
void dtls_client_finish(struct dtls_client *client, bool says_goodbye);

/* --- CoAP ------------------------------------------------------------------------------------------ */

enum { COAP_TYPE_CON, COAP_TYPE_NON, COAP_TYPE_ACK, COAP_TYPE_RST };

struct coap_message {
	int type;
	int code; /* class * 100 + detail */
	uint16_t mid;
	uint8_t token[8];
	size_t token_length;
	const uint8_t *payload;
	size_t payload_length;
	uint32_t block1, block2; /* option values */
	bool has_block1, has_block2;
};

struct coap_build {
	uint8_t bytes[2048];
	size_t length;
	unsigned last_option;
};

void coap_begin(struct coap_build *build, int type, int code, uint16_t mid, const void *token, size_t token_length);
void coap_option(struct coap_build *build, unsigned number, const void *value, size_t length); /* ascending; length < 269 */
void coap_option_uint(struct coap_build *build, unsigned number, uint32_t value);
void coap_payload(struct coap_build *build, const void *bytes, size_t length);
/* False: not CoAP. Points into bytes. */
bool coap_read(const uint8_t *bytes, size_t length, struct coap_message *ret_message);

#endif
