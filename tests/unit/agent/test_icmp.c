/*
 * Echo messages (pure) and the ping prober against the kernel, on the loopback interface of a
 * network namespace of this process's own: once with ping sockets, once with raw ones. Needs root.
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/probe/echo.h"
#include "agent/probe/probe.h"

static const struct echo_key key = { .identifier = 0xbeef, .cookie = { 1, 2, 3, 4, 5, 6, 7, 0xff } };

/* --- bytes -------------------------------------------------------------------------------------- */

static void set_checksum(uint8_t *bytes)
{
	uint32_t sum = 0;

	bytes[2] = bytes[3] = 0;
	for (unsigned i = 0; i < ECHO_BYTES; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum;
	bytes[2] = (uint8_t)(sum >> 8);
	bytes[3] = (uint8_t)sum;
}

static void make_reply(int family, unsigned target, uint16_t sequence, uint8_t *bytes)
{
	echo_build(&key, family, target, sequence, bytes);
	bytes[0] = family == AF_INET ? ECHO_REPLY_V4 : ECHO_REPLY_V6;
	if (family == AF_INET)
		set_checksum(bytes);
}

static void test_build(void **state)
{
	static const uint8_t expected[ECHO_BYTES] = { 8, 0, 0, 0, 0xbe, 0xef, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 0xff, 3 };
	uint8_t bytes[ECHO_BYTES], summed[ECHO_BYTES];

	(void)state;
	memcpy(summed, expected, sizeof(summed));
	set_checksum(summed);
	echo_build(&key, AF_INET, 3, 0x1234, bytes);
	assert_memory_equal(bytes, summed, ECHO_BYTES);
	echo_build(&key, AF_INET6, 3, 0x1234, bytes);
	assert_int_equal(bytes[0], 128);
	assert_memory_equal(bytes + 1, expected + 1, ECHO_BYTES - 1);
}

static void test_parse_accepts_the_reply(void **state)
{
	uint8_t bytes[60 + ECHO_BYTES] = { 0 };
	unsigned target;
	uint16_t sequence;

	(void)state;
	make_reply(AF_INET, 7, 65535, bytes);
	assert_int_equal(echo_parse(&key, AF_INET, false, bytes, ECHO_BYTES, &target, &sequence), 0);
	assert_int_equal(target, 7);
	assert_int_equal(sequence, 65535);
	make_reply(AF_INET6, 1, 9, bytes);
	assert_int_equal(echo_parse(&key, AF_INET6, false, bytes, ECHO_BYTES, &target, &sequence), 0);
	assert_int_equal(target, 1);
	assert_int_equal(sequence, 9);
	for (unsigned words = 5; words <= 15; words++) {
		memset(bytes, 0, sizeof(bytes));
		bytes[0] = (uint8_t)(0x40 | words);
		make_reply(AF_INET, 2, (uint16_t)words, bytes + 4 * words);
		assert_int_equal(echo_parse(&key, AF_INET, true, bytes, 4 * words + ECHO_BYTES, &target, &sequence), 0);
		assert_int_equal(sequence, words);
	}
}

/* Every byte but the sequence and the target counts, and so does every length. */
static void test_parse_refuses_the_rest(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };
	uint8_t bytes[60 + ECHO_BYTES + 1] = { 0 };
	unsigned target = 99;
	uint16_t sequence = 99;

	(void)state;
	for (unsigned f = 0; f < 2; f++) {
		for (unsigned i = 0; i < ECHO_BYTES; i++) {
			make_reply(families[f], 1, 2, bytes);
			if (i == 6 || i == 7 || i == 16 || (families[f] == AF_INET6 && (i == 2 || i == 3)))
				continue;
			bytes[i] ^= 0x10;
			if (families[f] == AF_INET && i != 2 && i != 3)
				set_checksum(bytes);
			assert_int_equal(echo_parse(&key, families[f], false, bytes, ECHO_BYTES, &target, &sequence),
					 -EBADMSG);
		}
		make_reply(families[f], 1, 2, bytes);
		for (size_t length = 0; length < sizeof(bytes); length++)
			if (length != ECHO_BYTES)
				assert_int_equal(echo_parse(&key, families[f], false, bytes, length, &target, &sequence),
						 -EBADMSG);
	}
	/* IP headers: cut, too short for themselves, longer than the packet. */
	memset(bytes, 0, sizeof(bytes));
	make_reply(AF_INET, 1, 2, bytes + 20);
	for (unsigned words = 0; words < 16; words++) {
		bytes[0] = (uint8_t)(0x40 | words);
		for (size_t length = 0; length < sizeof(bytes); length++)
			if (words != 5 || length != 20 + ECHO_BYTES)
				assert_int_equal(echo_parse(&key, AF_INET, true, bytes, length, &target, &sequence),
						 -EBADMSG);
	}
	assert_int_equal(target, 99);
	assert_int_equal(sequence, 99);
}

/* --- the kernel --------------------------------------------------------------------------------- */

struct seen {
	struct ev_loop *loop;
	unsigned n, wanted;
	bool late;
	unsigned targets[16];
	uint16_t sequences[16];
};

static void on_reply(void *arg, unsigned target, uint16_t sequence)
{
	struct seen *seen = arg;

	assert_true(seen->n < 16);
	seen->targets[seen->n] = target;
	seen->sequences[seen->n] = sequence;
	if (++seen->n == seen->wanted)
		ev_break(seen->loop, EVBREAK_ALL);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)events;
	((struct seen *)timer->data)->late = true;
	ev_break(loop, EVBREAK_ALL);
}

/* Runs the loop until `wanted` replies are there; fails after 30 s. */
static void wait_for(struct seen *seen, unsigned wanted)
{
	ev_timer timer;

	seen->wanted = wanted;
	ev_timer_init(&timer, on_deadline, 30., 0.);
	timer.data = seen;
	ev_timer_start(seen->loop, &timer);
	if (seen->n < wanted)
		ev_run(seen->loop, 0);
	ev_timer_stop(seen->loop, &timer);
	assert_false(seen->late);
	assert_int_equal(seen->n, wanted);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void set_lo_up(bool is_up)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = (short)(is_up ? IFF_UP : 0) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

/* A namespace of our own: nothing else pings in it. */
static int enter_namespace(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		printf("SKIP test_icmp: needs root\n");
		return 0;
	}
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	set_lo_up(true);
	return 0;
}

static void set_ping_sockets(bool allowed)
{
	write_file("/proc/sys/net/ipv4/ping_group_range", allowed ? "0 2147483647" : "1 0");
}

/* qemu-user knows not every socket option of a kernel; tests/skips lets these tests be skipped there, and nowhere else. */
static int create_or_skip(struct ev_loop *loop, const struct probe_config *config, void *arg, struct probe **ret_probe,
			  struct err *err)
{
	int r = probe_icmp.create(loop, config, on_reply, arg, ret_probe, err);

	if (r == -ENOPROTOOPT)
		skip();
	return r;
}

static void check_round_trips(bool ping_sockets)
{
	struct seen seen = { .loop = ev_loop_new(EVFLAG_AUTO) };
	struct parse_address targets[3];
	struct probe_config config = {
		.interface = "lo", .mark = 0x20, .mark_field = 0xf0, .n_targets = 3, .targets = targets,
	};
	struct probe *probe = NULL, *other = NULL;
	struct err err = { "" };
	unsigned mask = 0;

	if (geteuid() != 0)
		skip();
	set_ping_sockets(ping_sockets);
	assert_int_equal(parse_address("127.0.0.1", 0, &targets[0]), 0);
	assert_int_equal(parse_address("::1", 0, &targets[1]), 0);
	assert_int_equal(parse_address("127.0.0.2", 0, &targets[2]), 0);
	assert_int_equal(create_or_skip(seen.loop, &config, &seen, &probe, &err), 0);
	/* Another prober on the same interface: neither hears the other's replies. */
	assert_int_equal(create_or_skip(seen.loop, &config, NULL, &other, &err), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(probe_icmp.send(probe, i, (uint16_t)(0xfff0 + i)), 0);
	wait_for(&seen, 3);
	for (unsigned i = 0; i < 3; i++) {
		mask |= 1U << seen.targets[i];
		assert_int_equal(seen.sequences[i], 0xfff0 + seen.targets[i]);
	}
	assert_int_equal(mask, 7);
	assert_int_equal(probe_icmp.send(probe, 3, 1), -EINVAL);
	assert_int_equal(probe_icmp.rebind(probe, &err), 0);
	assert_int_equal(probe_icmp.send(probe, 1, 5), 0);
	wait_for(&seen, 4);
	assert_int_equal(seen.targets[3], 1);
	assert_int_equal(seen.sequences[3], 5);
	probe_icmp.destroy(other);
	probe_icmp.destroy(probe);
	ev_loop_destroy(seen.loop);
}

static void test_ping_sockets(void **state)
{
	(void)state;
	check_round_trips(true);
}

static void test_raw_sockets(void **state)
{
	(void)state;
	check_round_trips(false);
}

/* From an address of its own, whatever the interface; silent while the address is not there. */
static void check_source(bool ping_sockets)
{
	struct seen seen = { .loop = ev_loop_new(EVFLAG_AUTO) };
	struct parse_address target, source, absent;
	struct probe_config config = { .interface = "ether1", .n_targets = 1, .targets = &target, .source = &source };
	struct probe *probe = NULL;
	struct err err = { "" };

	if (geteuid() != 0)
		skip();
	set_ping_sockets(ping_sockets);
	assert_int_equal(parse_address("127.0.0.1", 0, &target), 0);
	assert_int_equal(parse_address("127.0.0.7", 0, &source), 0);
	assert_int_equal(parse_address("198.51.100.7", 0, &absent), 0);
	assert_int_equal(probe_icmp.create(seen.loop, &config, on_reply, &seen, &probe, &err), 0);
	assert_int_equal(probe_icmp.send(probe, 0, 9), 0);
	wait_for(&seen, 1);
	assert_int_equal(seen.sequences[0], 9);
	assert_int_equal(probe_icmp.rebind(probe, &err), 0);
	assert_int_equal(probe_icmp.send(probe, 0, 10), 0);
	wait_for(&seen, 2);
	probe_icmp.destroy(probe);

	config.source = &absent;
	assert_int_equal(probe_icmp.create(seen.loop, &config, on_reply, &seen, &probe, &err), 0);
	assert_int_equal(probe_icmp.send(probe, 0, 1), -ENODEV);
	assert_int_equal(probe_icmp.rebind(probe, &err), -ENODEV);
	assert_non_null(strstr(err.text, "source address"));
	probe_icmp.destroy(probe);
	ev_loop_destroy(seen.loop);
}

static void test_source_address(void **state)
{
	(void)state;
	check_source(true);
	check_source(false);
}

/* What a router on the way remembers of an identifier is of no use to the next one. */
static void check_rebound(bool ping_sockets)
{
	struct seen seen = { .loop = ev_loop_new(EVFLAG_AUTO) };
	struct parse_address target, source;
	struct probe_config config = { .interface = "ether1", .n_targets = 1, .targets = &target, .source = &source };
	struct probe *probe = NULL;
	struct err err = { "" };
	uint16_t identifiers[2] = { 0, 0 };
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); /* sees every ping */

	if (geteuid() != 0)
		skip();
	assert_true(fd >= 0);
	set_ping_sockets(ping_sockets);
	assert_int_equal(parse_address("127.0.0.1", 0, &target), 0);
	assert_int_equal(parse_address("127.0.0.8", 0, &source), 0);
	assert_int_equal(probe_icmp.create(seen.loop, &config, on_reply, &seen, &probe, &err), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(probe_icmp.send(probe, 0, (uint16_t)i), 0);
		while (identifiers[i] == 0) { /* to 127.0.0.1 from ours: type, identifier */
			uint8_t bytes[128];
			ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

			if (n >= 28 && bytes[15] == 8 && bytes[20] == 8)
				memcpy(&identifiers[i], bytes + 24, 2);
		}
		assert_int_equal(probe_icmp.rebind(probe, &err), 0);
	}
	assert_int_not_equal(identifiers[0], identifiers[1]);
	probe_icmp.destroy(probe);
	close(fd);
	ev_loop_destroy(seen.loop);
}

static void test_rebound_probes_are_new(void **state)
{
	(void)state;
	check_rebound(true);
	check_rebound(false);
}

/* Without its interface a prober is silent, and says so. */
static void test_absent_interface(void **state)
{
	struct seen seen = { .loop = ev_loop_new(EVFLAG_AUTO) };
	struct parse_address target;
	struct probe_config config = { .interface = "absent0", .n_targets = 1, .targets = &target };
	struct probe *probe = NULL;
	struct err err = { "" };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(parse_address("127.0.0.1", 0, &target), 0);
	assert_int_equal(create_or_skip(seen.loop, &config, &seen, &probe, &err), 0);
	assert_int_equal(probe_icmp.send(probe, 0, 1), -ENODEV);
	assert_int_equal(probe_icmp.rebind(probe, &err), -ENODEV);
	assert_non_null(strstr(err.text, "absent0"));
	probe_icmp.destroy(probe);
	ev_loop_destroy(seen.loop);
}

static void test_send_errors(void **state)
{
	struct seen seen = { .loop = ev_loop_new(EVFLAG_AUTO) };
	struct parse_address target;
	struct probe_config config = { .interface = "lo", .n_targets = 1, .targets = &target };
	struct probe *probe = NULL;
	struct err err = { "" };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(parse_address("192.0.2.1", 0, &target), 0);
	set_lo_up(false);
	assert_int_equal(create_or_skip(seen.loop, &config, &seen, &probe, &err), 0);
	assert_true(probe_icmp.send(probe, 0, 1) < 0);
	set_lo_up(true);
	probe_icmp.destroy(probe);
	probe_icmp.destroy(NULL);

	config.interface = "a-name-longer-than-it-may-be";
	probe = NULL;
	assert_int_equal(probe_icmp.create(seen.loop, &config, on_reply, &seen, &probe, &err), -EINVAL);
	config.interface = "lo";
	config.n_targets = LIMIT_TARGETS + 1;
	assert_int_equal(probe_icmp.create(seen.loop, &config, on_reply, &seen, &probe, &err), -EINVAL);
	assert_null(probe);
	ev_loop_destroy(seen.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_parse_accepts_the_reply),
		cmocka_unit_test(test_parse_refuses_the_rest),
		cmocka_unit_test(test_ping_sockets),
		cmocka_unit_test(test_raw_sockets),
		cmocka_unit_test(test_source_address),
		cmocka_unit_test(test_rebound_probes_are_new),
		cmocka_unit_test(test_absent_interface),
		cmocka_unit_test(test_send_errors),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
