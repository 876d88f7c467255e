/*
 * Debian's security fixes of libcoap are in the library that is linked: a case for each one that touches code we compile
 * (toolchain/patches/README.md says which does not).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <coap3/coap.h>
#include <netdb.h>
#include <string.h>

#define LONGEST_HOST 255

static int split(const char *text, coap_uri_t *ret_uri)
{
	return coap_split_uri((const uint8_t *)text, strlen(text), ret_uri);
}

/* CVE-2025-34468, first part: a URI's host is bounded, an IPv6 address is one, a port is a port. */
static void test_uri(void **state)
{
	char text[400];
	coap_uri_t uri;

	(void)state;
	for (size_t length = LONGEST_HOST; length <= LONGEST_HOST + 1; length++) {
		strcpy(text, "coap://");
		memset(text + 7, 'h', length);
		strcpy(text + 7 + length, "/path");
		assert_int_equal(split(text, &uri) == 0, length <= LONGEST_HOST);
	}
	assert_int_equal(split("coap://[2001:db8::1]:5683/a", &uri), 0);
	assert_int_equal(uri.port, 5683);
	assert_true(split("coap://[2001:db8::1/a", &uri) < 0);
	assert_true(split("coap://[not an address]/a", &uri) < 0);
	assert_true(split("coap://host:65536/a", &uri) < 0);
}

/* Its second part: the name is copied to a buffer of NI_MAXHOST bytes on the stack. */
static void test_host_name_longer_than_its_buffer(void **state)
{
	static uint8_t name[4096];
	coap_str_const_t host = { .s = name };

	(void)state;
	memset(name, '1', sizeof(name));
	for (host.length = 1024; host.length <= sizeof(name); host.length += 1024)
		assert_null(coap_resolve_address_info(&host, 0, 0, 0, 0, AI_NUMERICHOST, 1 << COAP_URI_SCHEME_COAP,
						      COAP_RESOLVE_TYPE_REMOTE));
}

/* CVE-2026-29013, as far as callers reach it: options that arrive in no order, into a message that grows and then has no more room. */
static void test_options_in_no_order(void **state)
{
	static const uint16_t numbers[] = { 60, 28, 27, 23, 17, 12, 11, 8, 4, 3 };
	coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, 1, 200);
	coap_opt_iterator_t options;
	uint8_t value[100];
	uint16_t previous = 0;
	unsigned n = 0, kept = 0;

	(void)state;
	coap_set_log_level(COAP_LOG_EMERG);
	memset(value, 'v', sizeof(value));
	assert_non_null(pdu);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		kept += coap_add_option(pdu, numbers[i], 40, value) > 0;
	assert_in_range(kept, 1, sizeof(numbers) / sizeof(numbers[0]) - 1);
	assert_non_null(coap_option_iterator_init(pdu, &options, COAP_OPT_ALL));
	for (coap_opt_t *option; (option = coap_option_next(&options)) != NULL; n++) {
		assert_true(options.number > previous);
		assert_int_equal(coap_opt_length(option), 40);
		previous = options.number;
	}
	assert_int_equal(n, kept);
	coap_delete_pdu(pdu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri),
		cmocka_unit_test(test_host_name_longer_than_its_buffer),
		cmocka_unit_test(test_options_in_no_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
