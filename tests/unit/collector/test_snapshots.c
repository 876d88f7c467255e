/* snapshots: hash first, the text by zlib, verified, bounded, stored once, read back. */
#include "tests/unit/collector/rig.h"

#include <mbedtls/sha256.h>
#include <zlib.h>

static int set_up(void **state)
{
	int r = rig_set_up(state);

	rig_enroll(*state, "r1");
	rig_enroll(*state, "r2");
	return r;
}

static const struct rig_reply *put(struct rig *rig, const char *device, const uint8_t *hash, const void *body,
				   size_t length)
{
	struct coap_incoming incoming = { .path = COAP_PATH_SNAPSHOT, .device = device, .body = body, .length = length };

	memcpy(incoming.hash, hash, 32);
	return rig_ask(rig, &incoming);
}

/* Asks with the hash of the text, then sends the text when it is wanted. */
static enum coap_code offer(struct rig *rig, const char *device, const char *text, size_t length)
{
	uint8_t hash[32], *body = malloc(length + 1000);
	uLongf packed = length + 1000;
	enum coap_code code;

	assert_non_null(body);
	assert_int_equal(mbedtls_sha256((const uint8_t *)text, length, hash, 0), 0);
	assert_int_equal(compress2(body, &packed, (const uint8_t *)text, length, 6), Z_OK);
	code = put(rig, device, hash, NULL, 0)->code;
	if (code == COAP_NOT_FOUND)
		code = put(rig, device, hash, body, packed)->code;
	free(body);
	return code;
}

static void assert_text(struct rig *rig, uint32_t device, uint32_t n, const char *text)
{
	struct store_snapshot snapshot;
	char *read;

	assert_int_equal(snapshots_read_text(rig->ports.store, device, n, &snapshot, &read), 0);
	assert_int_equal(snapshot.bytes, strlen(text));
	assert_string_equal(read, text);
	free(read);
}

static void test_new_same_changed_back(void **state)
{
	struct rig *rig = *state;
	struct snapshots_counters counters;

	assert_int_equal(offer(rig, "r1", "one", 3), COAP_CHANGED);
	assert_int_equal(offer(rig, "r1", "one", 3), COAP_VALID);
	assert_int_equal(offer(rig, "r1", "two", 3), COAP_CHANGED);
	assert_int_equal(offer(rig, "r1", "one", 3), COAP_CHANGED); /* had it, but not newest: one more in the list */
	assert_int_equal(offer(rig, "r2", "one", 3), COAP_CHANGED); /* not told that another device has it */
	assert_int_equal(fleet_find(rig->ports.fleet, "r1")->snapshot.n, 3);
	assert_text(rig, 1, 1, "one");
	assert_text(rig, 1, 2, "two");
	assert_text(rig, 1, 0, "one");
	assert_text(rig, 2, 0, "one");
	snapshots_read_counters(rig->snapshots, &counters);
	assert_int_equal(counters.stored, 4);
	assert_int_equal(counters.confirmed, 1);
	assert_int_equal(rig->n_changes[PORT_CHANGE_SNAPSHOT], 5);
	rig_stop(rig);
	rig_start(rig);
	assert_int_equal(fleet_find(rig->ports.fleet, "r1")->snapshot.n, 3);
	assert_int_equal(offer(rig, "r1", "one", 3), COAP_VALID);
}

static void test_largest_text(void **state)
{
	struct rig *rig = *state;
	char *text = malloc(LIMIT_BODY_BYTES + 1);

	assert_non_null(text);
	memset(text, 'x', LIMIT_BODY_BYTES + 1);
	assert_int_equal(offer(rig, "r1", text, LIMIT_BODY_BYTES), COAP_CHANGED);
	assert_int_equal(offer(rig, "r1", text, LIMIT_BODY_BYTES + 1), COAP_BAD_REQUEST); /* a bomb of 1 KiB */
	assert_int_equal(fleet_find(rig->ports.fleet, "r1")->snapshot.n, 1);
	free(text);
}

static void test_refused_bodies(void **state)
{
	struct rig *rig = *state;
	struct snapshots_counters counters;
	struct store_snapshot snapshot;
	uint8_t hash[32], body[64];
	uLongf length = sizeof(body);
	char *text;

	assert_int_equal(mbedtls_sha256((const uint8_t *)"text", 4, hash, 0), 0);
	assert_int_equal(compress2(body, &length, (const uint8_t *)"text", 4, 6), Z_OK);
	assert_int_equal(put(rig, "r1", hash, "not zlib", 8)->code, COAP_BAD_REQUEST);
	assert_int_equal(put(rig, "r1", hash, body, length - 1)->code, COAP_BAD_REQUEST); /* cut */
	body[length] = 'x';
	assert_int_equal(put(rig, "r1", hash, body, length + 1)->code, COAP_BAD_REQUEST); /* more behind it */
	hash[0] ^= 1;
	assert_int_equal(put(rig, "r1", hash, body, length)->code, COAP_BAD_REQUEST); /* another text's hash */
	hash[0] ^= 1;
	assert_int_equal(snapshots_read_text(rig->ports.store, 1, 0, &snapshot, &text), -ENOENT); /* nothing was stored */
	assert_int_equal(put(rig, "r1", hash, body, length)->code, COAP_CHANGED);
	snapshots_read_counters(rig->snapshots, &counters);
	assert_int_equal(counters.refused, 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
	const struct CMUnitTest tests[] = { TEST(test_new_same_changed_back), TEST(test_largest_text),
					    TEST(test_refused_bodies) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
