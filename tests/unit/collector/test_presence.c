/* presence: who came and went, but for a device that went to prove that it can come back. */
#include "tests/unit/collector/rig.h"

#include "collector/jobs_internal.h"
#include "collector/presence.h"
#include "common/clock.h"

#define CONFIRM_S 90

static struct presence *presence;

static int set_up(void **state)
{
	int r = rig_set_up(state);
	struct rig *rig = *state;

	rig_enroll(rig, "r1");
	rig_enroll(rig, "mark");
	assert_int_equal(presence_create(&rig->ports, rig->ingest, &presence), 0);
	return r;
}

static int tear_down(void **state)
{
	presence_destroy(presence);
	return rig_tear_down(state);
}

static void on_pushed(void *arg, int result, const struct store_job *job)
{
	(void)job;
	assert_int_equal(result, 0);
	++*(unsigned *)arg;
}

static void report(struct rig *rig, int phase)
{
	Jaga__V1__JobState message = JAGA__V1__JOB_STATE__INIT;
	char memory[256];
	struct coap_incoming incoming = { .path = COAP_PATH_JOB_STATE, .device = "r1", .job_id = "1", .body = (uint8_t *)memory };
	struct buf buf;

	message.seq = 1;
	message.phase = (Jaga__V1__JobPhase)phase;
	buf_init(&buf, memory, sizeof(memory));
	assert_int_equal(wire_pack(&message.base, &buf), 0);
	incoming.length = buf.length;
	assert_int_equal(rig_ask(rig, &incoming)->code, COAP_CHANGED);
}

/* Job 1, as far as this phase. */
static struct fleet_device *run_job(struct rig *rig, uint32_t confirm_s, int phase)
{
	struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");
	unsigned n_pushed = 0;
	struct jobs_order order = { .device = device, .name = "a.rsc", .interpreter = "routeros", .script = "x", .length = 1,
				    .confirm_s = confirm_s, .done = on_pushed, .arg = &n_pushed };

	presence_come(presence, device, "192.0.2.1:4000");
	assert_int_equal(jobs_push(rig->jobs, &order), 0);
	rig_wait(rig, &n_pushed, 1);
	report(rig, JAGA__V1__JOB_PHASE__JOB_PHASE_STARTED);
	if (phase != JAGA__V1__JOB_PHASE__JOB_PHASE_STARTED)
		report(rig, phase);
	return device;
}

static bool is_newest(struct rig *rig, const char *text)
{
	struct store_batch last;
	struct store_txn *txn;
	bool found;

	assert_int_equal(store_read_begin(rig->ports.store, &txn), 0);
	found = store_find_last_batch(txn, &last) == 0 && last.length == strlen(text) && memcmp(last.body, text, last.length) == 0;
	store_read_end(txn);
	return found;
}

/* "+", "-" and "j" for each event of r1 so far; *ret_last is the newest. Behind them all a mark is written, and waited for. */
static const char *read_events(struct rig *rig, struct store_batch *ret_last)
{
	static unsigned n_marks;
	static char seen[32], text[LIMIT_TEXT];
	struct store_batch batch;
	struct store_txn *txn;
	char mark[16];
	size_t n = 0;

	snprintf(mark, sizeof(mark), "mark %u", ++n_marks);
	ingest_note(rig->ingest, fleet_find(rig->ports.fleet, "mark"), STORE_BATCH_ONLINE, 1, mark);
	while (!is_newest(rig, mark))
		rig_wait(rig, &rig->n_changes[PORT_CHANGE_EVENTS], rig->n_changes[PORT_CHANGE_EVENTS] + 1);
	assert_int_equal(store_read_begin(rig->ports.store, &txn), 0);
	for (uint64_t id = 1; n < sizeof(seen) - 1 && store_find_batch_from(txn, id, &batch) == 0; id = batch.id + 1) {
		if (batch.device_number != fleet_find(rig->ports.fleet, "r1")->number)
			continue;
		seen[n++] = batch.kind == STORE_BATCH_ONLINE ? '+' : batch.kind == STORE_BATCH_OFFLINE ? '-' : 'j';
		*ret_last = batch;
		assert_true(batch.length <= sizeof(text));
		ret_last->body = memcpy(text, batch.body, batch.length); /* the store's is gone with the transaction */
	}
	store_read_end(txn);
	seen[n] = '\0';
	return seen;
}

static void test_coming_and_going(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");
	struct store_batch last;

	presence_go(presence, device, "of a session that was never told");
	assert_string_equal(read_events(rig, &last), "");
	presence_come(presence, device, "192.0.2.1:4000");
	presence_come(presence, device, "192.0.2.1:4001"); /* a second session in place of the first */
	presence_go(presence, device, "silent");
	assert_string_equal(read_events(rig, &last), "+-");
	assert_int_equal(last.length, strlen("silent"));
}

static void test_back_in_time_is_no_event(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = run_job(rig, CONFIRM_S, JAGA__V1__JOB_PHASE__JOB_PHASE_APPLIED);
	struct store_batch last;

	assert_true(fleet_is_confirming(device, clock_wall_ms()));
	for (unsigned i = 0; i < 2; i++) { /* as often as it likes */
		presence_go(presence, device, "closed by the device");
		assert_false(device->is_online);
		presence_check(presence, device->confirming.until_ms - 1);
		presence_come(presence, device, "192.0.2.1:4001");
		assert_true(device->is_online);
	}
	presence_check(presence, device->confirming.until_ms + 1);
	assert_string_equal(read_events(rig, &last), "+");
	report(rig, JAGA__V1__JOB_PHASE__JOB_PHASE_CONFIRMED);
	assert_false(fleet_is_confirming(device, clock_wall_ms()));
	presence_go(presence, device, "closed by the device");
	assert_string_equal(read_events(rig, &last), "+j-");
}

static void test_not_back_in_time_is_told_as_it_was(void **state)
{
	static const char text[] = "closed by the device, and did not come back to confirm job 1";
	struct rig *rig = *state;
	struct fleet_device *device = run_job(rig, CONFIRM_S, JAGA__V1__JOB_PHASE__JOB_PHASE_APPLIED);
	int64_t went_ms, until_ms = device->confirming.until_ms;
	struct store_batch last;

	presence_go(presence, device, "closed by the device");
	went_ms = device->session_since_ms;
	fleet_shift_times(rig->ports.fleet, 5000); /* the clock was set meanwhile */
	presence_check(presence, until_ms + 4999);
	assert_string_equal(read_events(rig, &last), "+");
	presence_check(presence, until_ms + 5000);
	presence_check(presence, until_ms + 6000); /* once */
	assert_string_equal(read_events(rig, &last), "+-");
	assert_int_equal(last.received_ms, went_ms + 5000);
	assert_int_equal(last.length, strlen(text));
	assert_memory_equal(last.body, text, last.length);
	presence_come(presence, device, "192.0.2.1:4001");
	report(rig, JAGA__V1__JOB_PHASE__JOB_PHASE_ROLLED_BACK);
	assert_string_equal(read_events(rig, &last), "+-+j");
}

static void test_nobody_looks_but_the_timer_does(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = run_job(rig, CONFIRM_S, JAGA__V1__JOB_PHASE__JOB_PHASE_APPLIED);
	unsigned n_before = rig->n_changes[PORT_CHANGE_EVENTS];

	presence_go(presence, device, "silent");
	device->confirming.until_ms = clock_wall_ms();
	rig_wait(rig, &rig->n_changes[PORT_CHANGE_EVENTS], n_before + 1);
	assert_false(device->confirming.is_away);
}

static void test_other_absences_are_told_at_once(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = run_job(rig, CONFIRM_S, JAGA__V1__JOB_PHASE__JOB_PHASE_STARTED);
	struct store_batch last;

	presence_go(presence, device, "silent"); /* while it runs */
	assert_string_equal(read_events(rig, &last), "+-");
	assert_int_equal(device->confirming.job, 1); /* status says so */
	presence_come(presence, device, "192.0.2.1:4001");
	report(rig, JAGA__V1__JOB_PHASE__JOB_PHASE_APPLIED);
	fleet_remove_key(device); /* nobody waits for it */
	presence_go(presence, device, "the device was removed");
	assert_string_equal(read_events(rig, &last), "+-+-");
}

static void test_nothing_to_confirm(void **state)
{
	struct fleet_device *device = run_job(*state, 0, JAGA__V1__JOB_PHASE__JOB_PHASE_APPLIED);
	struct store_batch last;

	presence_go(presence, device, "silent");
	assert_string_equal(read_events(*state, &last), "+-");
	assert_int_equal(device->confirming.job, 0);
}

static void test_a_restart_of_the_collector_remembers(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = run_job(rig, CONFIRM_S, JAGA__V1__JOB_PHASE__JOB_PHASE_APPLIED);
	int64_t until_ms = device->confirming.until_ms;
	struct store_batch last;

	presence_destroy(presence);
	rig_stop(rig);
	rig_start(rig);
	assert_int_equal(presence_create(&rig->ports, rig->ingest, &presence), 0);
	device = fleet_find(rig->ports.fleet, "r1");
	assert_int_equal(device->confirming.job, 1);
	assert_int_equal(device->confirming.until_ms, until_ms);
	presence_restore(presence);
	presence_check(presence, until_ms - 1);
	assert_string_equal(read_events(rig, &last), "+");
	presence_check(presence, until_ms + 1); /* it never came back */
	assert_string_equal(read_events(rig, &last), "+-");
}

/* Jobs are stored with the time of a clock that a restart may have lost: nobody is expected back for years. */
static void test_a_job_of_a_later_time(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");
	struct store_job job = { .number = 1, .phase = JAGA__V1__JOB_PHASE__JOB_PHASE_APPLIED, .confirm_s = CONFIRM_S,
				 .changed_ms = clock_wall_ms() + 1000000000000 };

	jobs_note_phase(device, &job);
	assert_true(fleet_is_confirming(device, clock_wall_ms()));
	assert_false(fleet_is_confirming(device, clock_wall_ms() + 1000 * (CONFIRM_S + 1)));
}

static void test_removed_while_it_is_away(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = run_job(rig, CONFIRM_S, JAGA__V1__JOB_PHASE__JOB_PHASE_APPLIED);
	struct store_batch last;

	presence_go(presence, device, "closed by the device");
	fleet_remove_key(device);
	presence_check(presence, device->confirming.until_ms - 1);
	assert_string_equal(read_events(rig, &last), "+-");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_coming_and_going),
		TEST(test_back_in_time_is_no_event),
		TEST(test_not_back_in_time_is_told_as_it_was),
		TEST(test_nobody_looks_but_the_timer_does),
		TEST(test_other_absences_are_told_at_once),
		TEST(test_nothing_to_confirm),
		TEST(test_a_restart_of_the_collector_remembers),
		TEST(test_a_job_of_a_later_time),
		TEST(test_removed_while_it_is_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
