/* fleet: finding by name and number while it grows, keys, uplinks. */
#include "tests/unit/collector/rig.h"

static struct fleet_device *put(struct fleet *fleet, uint32_t number)
{
	struct store_device stored = { .number = number, .has_key = 1, .enrolled_ms = 5 };
	struct fleet_device *device;

	snprintf(stored.name, sizeof(stored.name), "router-%u", number);
	memset(stored.key, (int)number, sizeof(stored.key));
	assert_int_equal(fleet_put(fleet, &stored, &device), 0);
	return device;
}

static void test_many_devices(void **state)
{
	struct fleet *fleet;
	char name[LIMIT_NAME];

	(void)state;
	assert_int_equal(fleet_create(&fleet), 0);
	assert_null(fleet_find(fleet, "router-1"));
	assert_null(fleet_get(fleet, 0));
	assert_null(fleet_get(fleet, 1));
	for (uint32_t n = 5000; n > 0; n--) /* the store's order is that of names, not numbers */
		put(fleet, n);
	assert_int_equal(fleet_count(fleet), 5000);
	for (uint32_t n = 1; n <= 5000; n++) {
		snprintf(name, sizeof(name), "router-%u", n);
		assert_non_null(fleet_find(fleet, name));
		assert_ptr_equal(fleet_find(fleet, name), fleet_get(fleet, n));
		assert_int_equal(fleet_get(fleet, n)->number, n);
	}
	assert_null(fleet_find(fleet, "router-5001"));
	assert_null(fleet_find(fleet, ""));
	fleet_destroy(fleet);
	fleet_destroy(NULL);
}

static void test_holes_in_numbers(void **state)
{
	struct fleet *fleet;

	(void)state;
	assert_int_equal(fleet_create(&fleet), 0);
	put(fleet, 100);
	assert_int_equal(fleet_count(fleet), 100);
	assert_null(fleet_get(fleet, 99));
	assert_non_null(fleet_get(fleet, 100));
	fleet_destroy(fleet);
}

static void test_removed_device_has_no_key(void **state)
{
	static const uint8_t none[LIMIT_PSK_BYTES];
	struct fleet_device *device;
	struct fleet *fleet;

	(void)state;
	assert_int_equal(fleet_create(&fleet), 0);
	device = put(fleet, 1);
	fleet_remove_key(device);
	assert_false(device->has_key);
	assert_memory_equal(device->key, none, sizeof(none));
	assert_ptr_equal(put(fleet, 1), device); /* enrolled again: the same device */
	assert_true(device->has_key);
	fleet_destroy(fleet);
}

static void test_online_is_counted_once(void **state)
{
	struct fleet_device *device;
	struct fleet *fleet;

	(void)state;
	assert_int_equal(fleet_create(&fleet), 0);
	device = put(fleet, 1);
	fleet_set_online(fleet, device, "192.0.2.1:1", 10);
	fleet_set_online(fleet, device, "192.0.2.1:2", 20); /* a new session replaces the old */
	assert_int_equal(fleet_count_online(fleet), 1);
	assert_string_equal(device->address, "192.0.2.1:2");
	fleet_set_offline(fleet, device, 30);
	fleet_set_offline(fleet, device, 40);
	assert_int_equal(fleet_count_online(fleet), 0);
	fleet_destroy(fleet);
}

static void test_uplinks_keep_their_age(void **state)
{
	struct fleet_uplink uplinks[2] = { { .name = "a", .state = 1 }, { .name = "b", .state = 1 } };
	struct fleet_device *device;
	struct fleet *fleet;

	(void)state;
	assert_int_equal(fleet_create(&fleet), 0);
	device = put(fleet, 1);
	assert_int_equal(fleet_set_uplinks(device, uplinks, 2, 100), 0);
	fleet_set_uplink_state(&device->uplinks[1], 3, 200);
	fleet_set_uplink_state(&device->uplinks[1], 3, 300);
	assert_int_equal(device->uplinks[1].since_ms, 200);
	device->uplinks[0].rtt_us = 77;
	assert_int_equal(fleet_set_uplinks(device, uplinks, 2, 400), 0);
	assert_int_equal(device->uplinks[0].since_ms, 100); /* same name, same state */
	assert_int_equal(device->uplinks[0].rtt_us, 77);
	assert_int_equal(device->uplinks[1].since_ms, 400); /* up again */
	assert_null(fleet_find_uplink(device, "c"));
	assert_int_equal(fleet_set_uplinks(device, NULL, 0, 500), 0);
	assert_null(fleet_find_uplink(device, "a"));
	fleet_destroy(fleet);
}

static void test_troubles_last_until_they_are_over(void **state)
{
	struct fleet_device *device;
	struct fleet *fleet;
	char name[16];

	(void)state;
	assert_int_equal(fleet_create(&fleet), 0);
	device = put(fleet, 1);
	fleet_set_trouble(device, "router", NULL, 5); /* there was none */
	fleet_set_trouble(device, "router", "connection refused", 10);
	fleet_set_trouble(device, "clock", "not set", 20);
	fleet_set_trouble(device, "router", "wrong password", 30);
	assert_int_equal(device->n_troubles, 2);
	assert_string_equal(device->troubles[0].text, "wrong password");
	assert_int_equal(device->troubles[0].since_ms, 10);
	fleet_shift_times(fleet, 100);
	assert_int_equal(device->troubles[1].since_ms, 120);
	fleet_set_trouble(device, "router", NULL, 40);
	assert_int_equal(device->n_troubles, 1);
	assert_string_equal(device->troubles[0].subsystem, "clock");
	for (unsigned i = 0; i < LIMIT_TROUBLES; i++) { /* one too many */
		snprintf(name, sizeof(name), "other%u", i);
		fleet_set_trouble(device, name, "x", 50);
	}
	assert_int_equal(device->n_troubles, LIMIT_TROUBLES);
	fleet_set_trouble(device, "other0", NULL, 60);
	assert_string_equal(device->troubles[1].subsystem, "other1");
	fleet_destroy(fleet);
}

static void test_ages_outlive_a_step_of_the_clock(void **state)
{
	struct fleet_uplink uplinks[2] = { { .name = "a", .state = 1 }, { .name = "b", .state = 1 } };
	struct fleet_device *device, *silent;
	struct fleet *fleet;

	(void)state;
	assert_int_equal(fleet_create(&fleet), 0);
	device = put(fleet, 1);
	silent = put(fleet, 5); /* behind a hole */
	assert_int_equal(fleet_set_uplinks(device, uplinks, 2, 100), 0);
	fleet_set_online(fleet, device, "192.0.2.1:1", 200);
	device->sample.at_ms = 300;
	fleet_shift_times(fleet, 1000000);
	assert_int_equal(device->uplinks[1].since_ms, 1000100);
	assert_int_equal(device->session_since_ms, 1000200);
	assert_int_equal(device->last_seen_ms, 1000200);
	assert_int_equal(device->sample.at_ms, 1000300);
	assert_int_equal(device->dropped_since_ms, 0); /* never */
	assert_int_equal(silent->last_seen_ms, 0);
	fleet_shift_times(fleet, -1000000);
	assert_int_equal(device->uplinks[0].since_ms, 100);
	fleet_destroy(fleet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_devices),
		cmocka_unit_test(test_troubles_last_until_they_are_over),
		cmocka_unit_test(test_holes_in_numbers),
		cmocka_unit_test(test_removed_device_has_no_key),
		cmocka_unit_test(test_online_is_counted_once),
		cmocka_unit_test(test_uplinks_keep_their_age),
		cmocka_unit_test(test_ages_outlive_a_step_of_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
