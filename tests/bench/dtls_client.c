/* dtls_client: see dtls_client.h. One random generator for the process; sockets do not block. */
#include "tests/bench/dtls_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static int fill_random(void *context, unsigned char *bytes, size_t length)
{
	(void)context;
	return getrandom(bytes, length, 0) == (ssize_t)length ? 0 : -1;
}

static int send_datagram(void *context, const unsigned char *bytes, size_t length)
{
	ssize_t n = send(*(int *)context, bytes, length, MSG_NOSIGNAL);

	return n >= 0 ? (int)n : errno == EAGAIN || errno == ECONNREFUSED ? MBEDTLS_ERR_SSL_WANT_WRITE : -1;
}

static int receive_datagram(void *context, unsigned char *bytes, size_t length)
{
	ssize_t n = recv(*(int *)context, bytes, length, 0);

	return n >= 0 ? (int)n : MBEDTLS_ERR_SSL_WANT_READ;
}

int dtls_client_init(struct dtls_client *client, const struct sockaddr_in *source, const struct sockaddr_in *target,
		     const char *identity, const uint8_t key[static 32])
{
	*client = (struct dtls_client){ .fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
	mbedtls_ssl_init(&client->ssl);
	mbedtls_ssl_config_init(&client->config);
	if (client->fd < 0)
		return -errno;
	if ((source && bind(client->fd, (const struct sockaddr *)source, sizeof(*source))) ||
	    connect(client->fd, (const struct sockaddr *)target, sizeof(*target)))
		return -errno;
	if (mbedtls_ssl_config_defaults(&client->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
					MBEDTLS_SSL_PRESET_DEFAULT))
		return -EINVAL;
	mbedtls_ssl_conf_rng(&client->config, fill_random, NULL);
	if (mbedtls_ssl_conf_psk(&client->config, key, 32, (const unsigned char *)identity, strlen(identity)) ||
	    mbedtls_ssl_setup(&client->ssl, &client->config))
		return -ENOMEM;
	mbedtls_ssl_set_bio(&client->ssl, &client->fd, send_datagram, receive_datagram, NULL);
	mbedtls_ssl_set_timer_cb(&client->ssl, &client->timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
	return 0;
}

int dtls_client_handshake(struct dtls_client *client)
{
	int result = mbedtls_ssl_handshake(&client->ssl);

	if (result == 0) {
		client->is_established = true;
		return 0;
	}
	client->error = result;
	return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE ? -EAGAIN : -ECONNREFUSED;
}

int dtls_client_send(struct dtls_client *client, const uint8_t *bytes, size_t length)
{
	int n = mbedtls_ssl_write(&client->ssl, bytes, length);

	return n >= 0 ? n : n == MBEDTLS_ERR_SSL_WANT_WRITE ? -EAGAIN : -EIO;
}

int dtls_client_receive(struct dtls_client *client, uint8_t *ret_bytes, size_t size)
{
	int n = mbedtls_ssl_read(&client->ssl, ret_bytes, size);

	return n > 0 ? n : n == MBEDTLS_ERR_SSL_WANT_READ ? -EAGAIN : -ECONNRESET;
}

void dtls_client_finish(struct dtls_client *client, bool says_goodbye)
{
	if (says_goodbye && client->is_established)
		(void)mbedtls_ssl_close_notify(&client->ssl); /* a lost one is a case of its own */
	mbedtls_ssl_free(&client->ssl);
	mbedtls_ssl_config_free(&client->config);
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	client->is_established = false;
}

/* --- CoAP (RFC 7252 section 3) ----------------------------------------------------------------------- */

static void put(struct coap_build *build, const void *bytes, size_t length)
{
	if (length > sizeof(build->bytes) - build->length)
		abort();
	if (length)
		memcpy(build->bytes + build->length, bytes, length);
	build->length += length;
}

void coap_begin(struct coap_build *build, int type, int code, uint16_t mid, const void *token, size_t token_length)
{
	uint8_t head[4] = { (uint8_t)(0x40 | type << 4 | (int)token_length), (uint8_t)(code / 100 << 5 | code % 100),
			    (uint8_t)(mid >> 8), (uint8_t)mid };

	build->length = 0;
	build->last_option = 0;
	put(build, head, sizeof(head));
	put(build, token, token_length);
}

/* The nibble and its extension, for a delta or a length below 269. */
static uint8_t nibble(size_t value, uint8_t *ret_extension, size_t *ret_n)
{
	if (value < 13)
		return (uint8_t)value;
	ret_extension[(*ret_n)++] = (uint8_t)(value - 13);
	return 13;
}

void coap_option(struct coap_build *build, unsigned number, const void *value, size_t length)
{
	uint8_t extension[2], head;
	size_t n = 0;

	head = (uint8_t)(nibble(number - build->last_option, extension, &n) << 4);
	head |= nibble(length, extension, &n);
	build->last_option = number;
	put(build, &head, 1);
	put(build, extension, n);
	put(build, value, length);
}

void coap_option_uint(struct coap_build *build, unsigned number, uint32_t value)
{
	uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value };
	size_t skip = 0;

	while (skip < 4 && bytes[skip] == 0)
		skip++;
	coap_option(build, number, bytes + skip, 4 - skip);
}

void coap_payload(struct coap_build *build, const void *bytes, size_t length)
{
	if (length == 0)
		return;
	put(build, "\xff", 1);
	put(build, bytes, length);
}

/* A nibble's value; false at its reserved values or past the end. */
static bool read_nibble(const uint8_t **at, const uint8_t *end, unsigned bits, unsigned *ret_value)
{
	if (bits == 15 || (size_t)(end - *at) < (bits < 13 ? 0u : bits - 12))
		return false;
	*ret_value = bits < 13 ? bits : bits == 13 ? 13u + **at : 269u + (unsigned)((*at)[0] << 8 | (*at)[1]);
	*at += bits < 13 ? 0 : bits - 12;
	return true;
}

bool coap_read(const uint8_t *bytes, size_t length, struct coap_message *ret_message)
{
	const uint8_t *at = bytes + 4, *end = bytes + length;
	unsigned number = 0, delta, size;

	if (length < 4 || bytes[0] >> 6 != 1 || (bytes[0] & 15) > 8 || length < 4u + (bytes[0] & 15))
		return false;
	*ret_message = (struct coap_message){
		.type = bytes[0] >> 4 & 3,
		.code = bytes[1] / 32 * 100 + bytes[1] % 32,
		.mid = (uint16_t)(bytes[2] << 8 | bytes[3]),
		.token_length = bytes[0] & 15,
	};
	memcpy(ret_message->token, at, ret_message->token_length);
	at += ret_message->token_length;
	while (at < end && *at != 0xff) {
		unsigned head = *at++;
		uint32_t value = 0;

		if (!read_nibble(&at, end, head >> 4, &delta) || !read_nibble(&at, end, head & 15, &size) ||
		    (size_t)(end - at) < size)
			return false;
		number += delta;
		for (unsigned i = 0; i < size && size <= 4; i++)
			value = value << 8 | at[i];
		if (number == 27) {
			ret_message->has_block1 = true;
			ret_message->block1 = value;
		} else if (number == 23) {
			ret_message->has_block2 = true;
			ret_message->block2 = value;
		}
		at += size;
	}
	if (at < end) {
		ret_message->payload = at + 1;
		ret_message->payload_length = (size_t)(end - at - 1);
	}
	return true;
}
