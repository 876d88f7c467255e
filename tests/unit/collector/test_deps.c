/*
 * test_deps: what toolchain/ promises of the mbedTLS and libcoap that it builds.
 *
 * One cipher suite and no certificates; no timer that follows the wall clock, so that sessions and handshakes outlive
 * its steps; a plain-PSK client is refused. A server and a client of libcoap run in this process over loopback, and the
 * process's clocks are interposed: static libraries call the functions that are defined here. Each test that expects
 * something to be refused or to survive has its opposite next to it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <coap3/coap.h>
#include <mbedtls/ssl.h>

#define KEY "0123456789abcdef0123456789abcdef"
#define DEADLINE_S 10
#define DAY_S ((int64_t)24 * 60 * 60)

/* --- clocks ------------------------------------------------------------------------------------- */

static int64_t g_wall_step_s;
static int g_timerfd_clock = -1;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	if (syscall(SYS_clock_gettime, clock, now) != 0)
		return -1;
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		now->tv_sec += g_wall_step_s;
	return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec ts;

	(void)zone; /* obsolete; nobody asks */
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	*now = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
	return 0;
}

time_t time(time_t *ret_now)
{
	struct timespec ts = {0};

	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return (time_t)-1;
	if (ret_now != NULL)
		*ret_now = ts.tv_sec;
	return ts.tv_sec;
}

int timerfd_create(clockid_t clock, int flags)
{
	g_timerfd_clock = (int)clock;
	return (int)syscall(SYS_timerfd_create, clock, flags);
}

static double monotonic_s(void)
{
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- a server and a client ---------------------------------------------------------------------- */

struct pair {
	coap_context_t *server;
	coap_context_t *client;
	struct sockaddr_in addr;
	int sessions_ended;
	int answers;
	bool connected;
};

static struct pair g_pair;

static const coap_bin_const_t *on_identity(coap_bin_const_t *identity, coap_session_t *session, void *arg)
{
	static const coap_bin_const_t key = {.length = sizeof(KEY) - 1, .s = (const uint8_t *)KEY};

	(void)identity;
	(void)session;
	(void)arg;
	return &key;
}

static void on_request(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
		       const coap_string_t *query, coap_pdu_t *response)
{
	(void)resource;
	(void)session;
	(void)request;
	(void)query;
	coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
}

static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent, const coap_pdu_t *received,
				   const coap_mid_t mid)
{
	(void)session;
	(void)sent;
	(void)mid;
	if (coap_pdu_get_code(received) == COAP_RESPONSE_CODE_CONTENT)
		g_pair.answers++;
	return COAP_RESPONSE_OK;
}

static int on_event(coap_session_t *session, const coap_event_t event)
{
	(void)session;
	if (event == COAP_EVENT_DTLS_CONNECTED)
		g_pair.connected = true;
	if (event == COAP_EVENT_SERVER_SESSION_DEL || event == COAP_EVENT_DTLS_CLOSED || event == COAP_EVENT_DTLS_ERROR)
		g_pair.sessions_ended++;
	return 0;
}

/* A loopback port that nobody uses; two libcoap servers could share one without an error. */
static struct sockaddr_in free_address(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return addr;
}

static coap_address_t coap_address(const struct sockaddr_in *addr)
{
	coap_address_t out;

	coap_address_init(&out);
	out.addr.sin = *addr;
	out.size = sizeof(*addr);
	return out;
}

static int pair_setup(void **state)
{
	coap_dtls_spsk_t psk = {.version = COAP_DTLS_SPSK_SETUP_VERSION, .validate_id_call_back = on_identity};
	coap_resource_t *resource;
	coap_address_t addr;

	memset(&g_pair, 0, sizeof(g_pair));
	g_wall_step_s = 0;
	g_timerfd_clock = -1;
	coap_startup();
	coap_set_log_level(COAP_LOG_EMERG);
	g_pair.addr = free_address();
	addr = coap_address(&g_pair.addr);
	g_pair.server = coap_new_context(NULL);
	g_pair.client = coap_new_context(NULL);
	assert_non_null(g_pair.server);
	assert_non_null(g_pair.client);
	psk.psk_info.key = *on_identity(NULL, NULL, NULL);
	assert_int_equal(coap_context_set_psk2(g_pair.server, &psk), 1);
	assert_non_null(coap_new_endpoint(g_pair.server, &addr, COAP_PROTO_DTLS));
	resource = coap_resource_init(coap_make_str_const("x"), 0);
	assert_non_null(resource);
	coap_register_request_handler(resource, COAP_REQUEST_GET, on_request);
	coap_add_resource(g_pair.server, resource);
	coap_register_event_handler(g_pair.server, on_event);
	coap_register_event_handler(g_pair.client, on_event);
	coap_register_response_handler(g_pair.client, on_response);
	*state = &g_pair;
	return 0;
}

static int pair_teardown(void **state)
{
	(void)state;
	coap_free_context(g_pair.client);
	coap_free_context(g_pair.server);
	coap_cleanup();
	return 0;
}

/* Both contexts once: wait until either has something to do, at most 50 ms, then let both do it. */
static void pump(void)
{
	struct pollfd fds[] = {
		{.fd = coap_context_get_coap_fd(g_pair.server), .events = POLLIN},
		{.fd = coap_context_get_coap_fd(g_pair.client), .events = POLLIN},
	};

	assert_true(poll(fds, 2, 50) >= 0);
	assert_true(coap_io_process(g_pair.server, COAP_IO_NO_WAIT) >= 0);
	assert_true(coap_io_process(g_pair.client, COAP_IO_NO_WAIT) >= 0);
}

static coap_session_t *pair_connect(void)
{
	coap_address_t addr = coap_address(&g_pair.addr);
	coap_dtls_cpsk_t psk = {.version = COAP_DTLS_CPSK_SETUP_VERSION};
	coap_session_t *session;

	psk.psk_info.identity = (coap_bin_const_t){.length = 4, .s = (const uint8_t *)"jaga"};
	psk.psk_info.key = *on_identity(NULL, NULL, NULL);
	session = coap_new_client_session_psk2(g_pair.client, NULL, &addr, COAP_PROTO_DTLS, &psk);
	assert_non_null(session);
	return session;
}

static void wait_connected(void)
{
	double deadline_s = monotonic_s() + DEADLINE_S;

	while (!g_pair.connected && monotonic_s() < deadline_s)
		pump();
	assert_true(g_pair.connected);
}

static void exchange(coap_session_t *session)
{
	double deadline_s = monotonic_s() + DEADLINE_S;
	int before = g_pair.answers;
	coap_pdu_t *pdu = coap_new_pdu(COAP_MESSAGE_NON, COAP_REQUEST_CODE_GET, session);

	assert_non_null(pdu);
	assert_true(coap_add_option(pdu, COAP_OPTION_URI_PATH, 1, (const uint8_t *)"x") > 0);
	assert_int_not_equal(coap_send(session, pdu), COAP_INVALID_MID);
	while (g_pair.answers == before && monotonic_s() < deadline_s)
		pump();
	assert_int_equal(g_pair.answers, before + 1);
}

/* --- tests -------------------------------------------------------------------------------------- */

static void test_exactly_one_suite(void **state)
{
	const int *suites = mbedtls_ssl_list_ciphersuites();

	(void)state;
	assert_int_equal(suites[0], MBEDTLS_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256);
	assert_int_equal(suites[1], 0);
}

static void test_nothing_else_compiled_in(void **state)
{
	(void)state;
	assert_int_equal(coap_dtls_psk_is_supported(), 1);
	assert_int_equal(coap_dtls_pki_is_supported(), 0);
	assert_int_equal(coap_dtls_cid_is_supported(), 0);
	assert_int_equal(coap_oscore_is_supported(), 0);
	assert_int_equal(coap_tcp_is_supported(), 0);
	assert_int_equal(coap_q_block_is_supported(), 0);
	assert_int_equal(coap_proxy_is_supported(), 0);
}

static void test_timer_is_monotonic(void **state)
{
	coap_tick_t before, after;

	(void)state;
	assert_int_equal(g_timerfd_clock, CLOCK_MONOTONIC);
	coap_ticks(&before);
	g_wall_step_s = 10 * 365 * DAY_S;
	coap_ticks(&after);
	assert_true(after - before < 60 * COAP_TICKS_PER_SECOND);
	g_wall_step_s = -DAY_S;
	coap_ticks(&before);
	assert_true(before >= after);
}

static void test_steps_keep_the_session(void **state)
{
	static const int64_t steps_s[] = {10 * 365 * DAY_S, -DAY_S, 0, 400, -10 * 365 * DAY_S};
	coap_session_t *session = pair_connect();

	(void)state;
	wait_connected();
	exchange(session);
	for (size_t i = 0; i < sizeof(steps_s) / sizeof(*steps_s); i++) {
		g_wall_step_s = steps_s[i];
		pump();
		exchange(session);
		assert_int_equal(g_pair.sessions_ended, 0);
	}
}

static void test_steps_keep_the_handshake(void **state)
{
	double started_s = monotonic_s();
	int rounds = 0;

	(void)state;
	(void)pair_connect(); /* owned by its context */
	while (!g_pair.connected && monotonic_s() < started_s + DEADLINE_S) {
		g_wall_step_s = rounds++ % 2 == 0 ? 10 * 365 * DAY_S : -DAY_S;
		pump();
	}
	assert_true(g_pair.connected);
	/* A refused cookie or a lost flight would have cost a retransmission, one second at least. */
	assert_true(monotonic_s() - started_s < 1.0);
}

/* --- a hand-made ClientHello: mbedTLS here cannot offer another suite ---------------------------- */

enum { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22 };
enum { CLIENT_HELLO = 1, SERVER_HELLO = 2, HELLO_VERIFY_REQUEST = 3 };
enum { ALERT_FATAL = 2, ALERT_HANDSHAKE_FAILURE = 40 };

static size_t put(uint8_t *buf, size_t at, const void *bytes, size_t len)
{
	memcpy(buf + at, bytes, len);
	return at + len;
}

static size_t client_hello(uint8_t *buf, uint16_t suite, const uint8_t *cookie, uint8_t cookie_len, uint8_t seq)
{
	static const uint8_t extensions[] = {
		0x00, 0x12,					/* length of all */
		0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x1d, /* supported groups: x25519 */
		0x00, 0x0b, 0x00, 0x02, 0x01, 0x00,		/* point formats: uncompressed */
		0x00, 0x17, 0x00, 0x00,				/* extended master secret */
	};
	const uint8_t suites[] = {0x00, 0x02, (uint8_t)(suite >> 8), (uint8_t)suite, 0x01, 0x00};
	uint8_t random[32] = {0x4a};
	uint8_t body[256];
	size_t len = 0;

	len = put(body, len, "\xfe\xfd", 2);
	len = put(body, len, random, sizeof(random));
	len = put(body, len, "\x00", 1); /* no session id */
	len = put(body, len, &cookie_len, 1);
	len = put(body, len, cookie, cookie_len);
	len = put(body, len, suites, sizeof(suites));
	len = put(body, len, extensions, sizeof(extensions));

	const uint8_t heads[] = {
		RECORD_HANDSHAKE, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, seq, 0, (uint8_t)(len + 12),
		CLIENT_HELLO, 0, 0, (uint8_t)len, 0, seq, 0, 0, 0, 0, 0, (uint8_t)len,
	};
	assert_true(len + 12 < 256);
	return put(buf, put(buf, 0, heads, sizeof(heads)), body, len);
}

static size_t answer_to(int fd, const uint8_t *datagram, size_t len, uint8_t *ret_answer, size_t size)
{
	double deadline_s = monotonic_s() + DEADLINE_S;
	ssize_t got = -1;

	assert_int_equal(send(fd, datagram, len, 0), (ssize_t)len);
	while (got < 0 && monotonic_s() < deadline_s) {
		pump();
		got = recv(fd, ret_answer, size, MSG_DONTWAIT);
	}
	assert_true(got > 14);
	return (size_t)got;
}

/* Offers SUITE alone and leaves the server's answer in ret_answer, past the cookie exchange if it asks for one. */
static void offer(uint16_t suite, uint8_t ret_answer[static 1500])
{
	uint8_t hello[512];
	size_t len;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&g_pair.addr, sizeof(g_pair.addr)), 0);
	len = client_hello(hello, suite, (const uint8_t *)"", 0, 0);
	len = answer_to(fd, hello, len, ret_answer, 1500);
	if (ret_answer[0] == RECORD_HANDSHAKE && ret_answer[13] == HELLO_VERIFY_REQUEST) {
		assert_true(ret_answer[27] > 0 && 28u + ret_answer[27] <= len);
		len = client_hello(hello, suite, ret_answer + 28, ret_answer[27], 1);
		(void)answer_to(fd, hello, len, ret_answer, 1500); /* the caller looks at its type */
	}
	close(fd);
}

static void test_plain_psk_is_refused(void **state)
{
	static const uint16_t plain_psk[] = {
		0xccab, /* CHACHA20_POLY1305 */
		0xc0a8, /* AES_128_CCM_8, the suite that CoAP makes mandatory */
		0x00a8, /* AES_128_GCM */
	};
	uint8_t answer[1500];

	(void)state;
	for (size_t i = 0; i < sizeof(plain_psk) / sizeof(*plain_psk); i++) {
		offer(plain_psk[i], answer);
		assert_int_equal(answer[0], RECORD_ALERT);
		assert_int_equal(answer[13], ALERT_FATAL);
		assert_int_equal(answer[14], ALERT_HANDSHAKE_FAILURE);
	}
	offer(0xccac, answer);
	assert_int_equal(answer[0], RECORD_HANDSHAKE);
	assert_int_equal(answer[13], SERVER_HELLO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exactly_one_suite),
		cmocka_unit_test(test_nothing_else_compiled_in),
		cmocka_unit_test_setup_teardown(test_timer_is_monotonic, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_steps_keep_the_session, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_steps_keep_the_handshake, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_plain_psk_is_refused, pair_setup, pair_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
