/* jobs: a script's way down and its states back up; at most once; expiry; a lost journal. */
#include "tests/unit/collector/rig.h"

#include "common/clock.h"

struct pushed {
	unsigned n_done;
	int result;
	struct store_job job;
};

static void on_pushed(void *arg, int result, const struct store_job *job)
{
	struct pushed *pushed = arg;

	pushed->n_done++;
	pushed->result = result;
	pushed->job = *job;
}

static uint64_t push_to_confirm(struct rig *rig, const char *device, const char *script, const char *rollback,
				uint32_t confirm_s)
{
	struct pushed pushed = { 0 };
	struct jobs_order order = { .device = fleet_find(rig->ports.fleet, device), .name = "a.rsc", .interpreter = "routeros",
				    .script = script, .length = strlen(script), .rollback = rollback,
				    .rollback_length = strlen(rollback), .confirm_s = confirm_s, .done = on_pushed,
				    .arg = &pushed };

	assert_int_equal(jobs_push(rig->jobs, &order), 0);
	rig_wait(rig, &pushed.n_done, 1);
	assert_int_equal(pushed.result, 0);
	return pushed.job.number;
}

static uint64_t push(struct rig *rig, const char *device, const char *script, int64_t not_after_ms)
{
	struct pushed pushed = { 0 };
	struct jobs_order order = { .device = fleet_find(rig->ports.fleet, device), .name = "a.sh", .interpreter = "sh",
				    .script = script, .length = strlen(script), .not_after_ms = not_after_ms,
				    .done = on_pushed, .arg = &pushed };

	assert_int_equal(jobs_push(rig->jobs, &order), 0);
	rig_wait(rig, &pushed.n_done, 1);
	assert_int_equal(pushed.result, 0);
	return pushed.job.number;
}

static int set_up(void **state)
{
	int r = rig_set_up(state);

	rig_enroll(*state, "r1");
	rig_enroll(*state, "r2");
	return r;
}

static struct store_job read_job(struct rig *rig, uint64_t number)
{
	struct store_txn *txn;
	struct store_job job;

	assert_int_equal(store_read_begin(rig->ports.store, &txn), 0);
	assert_int_equal(store_get_job(txn, number, &job), 0);
	store_read_end(txn);
	return job;
}

static const struct rig_reply *get(struct rig *rig, const char *device, uint64_t after)
{
	struct coap_incoming incoming = { .path = COAP_PATH_JOB, .device = device, .after_seq = after };

	return rig_ask(rig, &incoming);
}

static const struct rig_reply *report(struct rig *rig, const char *device, uint64_t number, int phase, int exit_status,
				      const char *output)
{
	Jaga__V1__JobState message = JAGA__V1__JOB_STATE__INIT;
	char memory[1024];
	struct coap_incoming incoming = { .path = COAP_PATH_JOB_STATE, .device = device, .body = (uint8_t *)memory };
	struct buf buf;

	message.seq = number;
	message.phase = (Jaga__V1__JobPhase)phase;
	message.exit_status = exit_status;
	message.output = (ProtobufCBinaryData){ strlen(output), (uint8_t *)output };
	message.attempt = 1;
	snprintf(incoming.job_id, sizeof(incoming.job_id), "%llu", (unsigned long long)number);
	buf_init(&buf, memory, sizeof(memory));
	assert_int_equal(wire_pack(&message.base, &buf), 0);
	incoming.length = buf.length;
	return rig_ask(rig, &incoming);
}

static const struct rig_reply *confirm(struct rig *rig, const char *device, const char *job)
{
	struct coap_incoming incoming = { .path = COAP_PATH_JOB_CONFIRM, .device = device };

	snprintf(incoming.job_id, sizeof(incoming.job_id), "%s", job);
	return rig_ask(rig, &incoming);
}

/* Each request of the rig comes in a session of its own; this is what the next one's will be. */
static uint64_t next_session(const struct rig *rig)
{
	return rig->n_replies + 1;
}

static void test_confirmation(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");
	const struct rig_reply *reply;
	Jaga__V1__SignedJob *whole;
	Jaga__V1__ConfirmAck *ack;
	Jaga__V1__Job *job;

	push_to_confirm(rig, "r1", "change", "undo it", 90);
	reply = get(rig, "r1", 0);
	whole = jaga__v1__signed_job__unpack(NULL, reply->length, reply->body);
	job = jaga__v1__job__unpack(NULL, whole->body.len, whole->body.data);
	assert_int_equal(job->confirm_s, 90);
	assert_string_equal(job->interpreter, "routeros");
	assert_int_equal(job->script.len, 6);
	assert_memory_equal(job->script.data, "change", 6);
	assert_int_equal(job->rollback.len, 7);
	assert_memory_equal(job->rollback.data, "undo it", 7);
	jaga__v1__job__free_unpacked(job, NULL);
	jaga__v1__signed_job__free_unpacked(whole, NULL);

	/* In the session of the script, wherever it stands: it proves nothing. */
	assert_true(device->has_script_session && device->script_session == next_session(rig) - 1);
	device->script_session = next_session(rig);
	assert_int_equal(confirm(rig, "r1", "1")->code, COAP_CONFLICT);
	report(rig, "r1", 1, 3, -1, "");
	assert_true(device->script_session == next_session(rig) - 1);
	report(rig, "r1", 1, 4, 0, "");
	assert_true(device->script_session == next_session(rig) - 1);
	device->script_session = next_session(rig);
	assert_int_equal(confirm(rig, "r1", "1")->code, COAP_CONFLICT);
	assert_int_equal(read_job(rig, 1).phase, 4);

	reply = confirm(rig, "r1", "1"); /* over another one */
	assert_int_equal(reply->code, COAP_CHANGED);
	ack = jaga__v1__confirm_ack__unpack(NULL, reply->length, reply->body);
	assert_true(ack && ack->epoch == 7);
	jaga__v1__confirm_ack__free_unpacked(ack, NULL);
	assert_int_equal(confirm(rig, "r1", "1")->code, COAP_CHANGED); /* the answer was lost */
	assert_int_equal(read_job(rig, 1).phase, 4); /* confirmed when the agent has made it so */
	report(rig, "r1", 1, 5, 0, "done");
	assert_true(device->script_session < next_session(rig) - 1);
	assert_int_equal(confirm(rig, "r1", "1")->code, COAP_CHANGED);
	assert_int_equal(read_job(rig, 1).phase, 5);
	assert_int_equal(read_job(rig, 1).confirm_s, 90);
}

/* What was told in the old session never came: the confirmation itself says that the script has ended. */
static void test_confirmation_of_a_job_that_was_not_reported(void **state)
{
	struct rig *rig = *state;

	push_to_confirm(rig, "r1", "change", "", 30);
	get(rig, "r1", 0);
	assert_int_equal(confirm(rig, "r1", "1")->code, COAP_CHANGED);
	assert_int_equal(read_job(rig, 1).phase, 4);
	assert_int_equal(get(rig, "r1", 0)->code, COAP_NOT_FOUND);
	report(rig, "r1", 1, 6, 2, "no"); /* the acknowledgement was lost for good */
	assert_int_equal(read_job(rig, 1).phase, 6);
	assert_int_equal(read_job(rig, 1).exit_status, 2);
	assert_int_equal(read_job(rig, 1).is_final, 1);
	assert_int_equal(confirm(rig, "r1", "1")->code, COAP_CONFLICT);
}

static void test_confirmations_that_are_refused(void **state)
{
	struct rig *rig = *state;

	push(rig, "r1", "x", 0);
	push_to_confirm(rig, "r1", "y", "", 90);
	assert_int_equal(confirm(rig, "r1", "1")->code, COAP_CONFLICT); /* has nothing to confirm */
	assert_int_equal(confirm(rig, "r2", "2")->code, COAP_NOT_FOUND);
	assert_int_equal(confirm(rig, "r1", "9")->code, COAP_NOT_FOUND);
	assert_int_equal(confirm(rig, "r1", "x")->code, COAP_NOT_FOUND);
	assert_int_equal(read_job(rig, 1).phase, 1);
	assert_int_equal(read_job(rig, 2).phase, 1);
}

static void test_down_and_up(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");
	const struct rig_reply *reply;
	Jaga__V1__SignedJob *whole;
	Jaga__V1__Job *job;
	struct store_job stored;

	assert_int_equal(push(rig, "r1", "echo hi", 0), 1);
	assert_int_equal(device->jobs_waiting, 1);
	assert_int_equal(get(rig, "r2", 0)->code, COAP_NOT_FOUND); /* another device's */
	reply = get(rig, "r1", 0);
	assert_int_equal(reply->code, COAP_CONTENT);
	whole = jaga__v1__signed_job__unpack(NULL, reply->length, reply->body);
	assert_non_null(whole);
	assert_int_equal(whole->signature.len, 0);
	job = jaga__v1__job__unpack(NULL, whole->body.len, whole->body.data);
	assert_non_null(job);
	assert_string_equal(job->job_id, "1");
	assert_string_equal(job->device, "r1");
	assert_string_equal(job->interpreter, "sh");
	assert_int_equal(job->seq, 1);
	assert_memory_equal(job->script.data, "echo hi", 7);
	jaga__v1__job__free_unpacked(job, NULL);
	jaga__v1__signed_job__free_unpacked(whole, NULL);
	assert_int_equal(get(rig, "r1", 1)->code, COAP_NOT_FOUND);

	assert_int_equal(rig_read_ack(report(rig, "r1", 1, 2, 0, "")), 1);
	assert_int_equal(get(rig, "r1", 0)->code, COAP_NOT_FOUND); /* taken: never handed out again */
	assert_int_equal(report(rig, "r1", 1, 3, 0, "")->code, COAP_CHANGED);
	assert_int_equal(report(rig, "r1", 1, 5, 0, "hi\n")->code, COAP_CHANGED);
	stored = read_job(rig, 1);
	assert_int_equal(stored.phase, 5);
	assert_int_equal(stored.is_final, 1);
	assert_int_equal(stored.output_bytes, 3);
	assert_int_equal(device->jobs_waiting, 0);
	assert_int_equal(rig->n_changes[PORT_CHANGE_EVENTS], 1); /* its end stands in the event log */
}

static void test_states_only_move_forward(void **state)
{
	struct rig *rig = *state;
	struct store_job job;

	push(rig, "r1", "x", 0);
	assert_int_equal(report(rig, "r1", 1, 7, 3, "why")->code, COAP_CHANGED); /* failed */
	assert_int_equal(report(rig, "r1", 1, 3, 0, "")->code, COAP_CHANGED);	 /* late: acknowledged, ignored */
	assert_int_equal(report(rig, "r1", 1, 5, 0, "other")->code, COAP_CHANGED);
	job = read_job(rig, 1);
	assert_int_equal(job.phase, 7);
	assert_int_equal(job.exit_status, 3);
	assert_int_equal(job.output_bytes, 3);
	assert_int_equal(fleet_find(rig->ports.fleet, "r1")->jobs_waiting, 0);
}

static void test_bad_reports(void **state)
{
	struct rig *rig = *state;
	struct coap_incoming incoming = { .path = COAP_PATH_JOB_STATE, .device = "r1", .job_id = "x" };

	push(rig, "r1", "x", 0);
	assert_int_equal(report(rig, "r2", 1, 5, 0, "")->code, COAP_NOT_FOUND); /* not this device's */
	assert_int_equal(report(rig, "r1", 9, 5, 0, "")->code, COAP_NOT_FOUND);
	assert_int_equal(report(rig, "r1", 1, 0, 0, "")->code, COAP_BAD_REQUEST);
	assert_int_equal(report(rig, "r1", 1, 1, 0, "")->code, COAP_BAD_REQUEST); /* queued is ours to say */
	assert_int_equal(report(rig, "r1", 1, 10, 0, "")->code, COAP_BAD_REQUEST);
	assert_int_equal(rig_ask(rig, &incoming)->code, COAP_NOT_FOUND);
	strcpy(incoming.job_id, "1");
	incoming.body = (const uint8_t *)"\xff\xff";
	incoming.length = 2;
	assert_int_equal(rig_ask(rig, &incoming)->code, COAP_BAD_REQUEST);
	incoming.length = 0; /* an empty JobState names no job */
	assert_int_equal(rig_ask(rig, &incoming)->code, COAP_BAD_REQUEST);
	assert_int_equal(read_job(rig, 1).phase, 1);
}

static void test_wakes(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");

	push(rig, "r1", "x", 0); /* offline: nothing to wake */
	assert_int_equal(rig->n_wakes, 0);
	rig->is_connected = true;
	push(rig, "r1", "y", 0);
	assert_int_equal(rig->n_wakes, 1);
	assert_memory_equal(rig->wake, "\x08\x02\x18", 3); /* Wake: job_seq = 2, time_ms = ... */
	assert_true(rig->wake_length > 3);
	jobs_greet(rig->jobs, device, 0);
	assert_int_equal(rig->n_wakes, 2);
	assert_memory_equal(rig->wake, "\x08\x01", 2); /* the first that it lacks */
	jobs_greet(rig->jobs, device, 2); /* it has both */
	assert_int_equal(rig->n_wakes, 2);
	assert_int_equal(jobs_wake_for_snapshot(rig->jobs, device), 0);
	assert_memory_equal(rig->wake, "\x10\x01", 2);
	rig->is_connected = false;
	assert_int_equal(jobs_wake_for_snapshot(rig->jobs, device), -ENOTCONN);
}

static void test_lost_journal_interrupts(void **state)
{
	struct rig *rig = *state;
	unsigned changes;

	push(rig, "r1", "x", 0);
	report(rig, "r1", 1, 3, 0, "");
	changes = rig->n_changes[PORT_CHANGE_JOB];
	jobs_greet(rig->jobs, fleet_find(rig->ports.fleet, "r1"), 0); /* started 1, and knows of none */
	rig_wait(rig, &rig->n_changes[PORT_CHANGE_JOB], changes + 1);
	assert_int_equal(read_job(rig, 1).phase, 9);
	assert_non_null(strstr(read_job(rig, 1).reason, "journal"));
	assert_int_equal(get(rig, "r1", 0)->code, COAP_NOT_FOUND);
}

/* An older store came back, or a new one was begun: the device is further on than we are. */
static void test_numbers_go_on_from_the_device(void **state)
{
	struct rig *rig = *state;
	struct fleet_device *device = fleet_find(rig->ports.fleet, "r1");
	unsigned changes;

	push(rig, "r1", "x", 0);
	changes = rig->n_changes[PORT_CHANGE_JOB];
	jobs_greet(rig->jobs, device, 1); /* its result may still come */
	device->job_hiwater = 7;
	jobs_greet(rig->jobs, device, 7);
	rig_wait(rig, &rig->n_changes[PORT_CHANGE_JOB], changes + 1);
	assert_int_equal(read_job(rig, 1).phase, 9);
	push(rig, "r1", "y", 0);
	assert_int_equal(read_job(rig, 8).phase, 1);
	device->job_hiwater = UINT64_MAX; /* nobody can be there */
	push(rig, "r1", "z", 0);
	assert_int_equal(read_job(rig, 9).phase, 1);
}

static void test_expiry(void **state)
{
	struct rig *rig = *state;

	push(rig, "r1", "x", clock_wall_ms() - 1000);
	push(rig, "r1", "y", clock_wall_ms() + 3600000);
	assert_int_equal(get(rig, "r1", 0)->code, COAP_CONTENT); /* the second; the first has run out */
	rig_wait(rig, &rig->n_changes[PORT_CHANGE_JOB], 3); /* two pushes, one expiry by the timer */
	assert_int_equal(read_job(rig, 1).phase, 8);
	assert_int_equal(read_job(rig, 2).phase, 1);
	assert_int_equal(fleet_find(rig->ports.fleet, "r1")->jobs_waiting, 1);
}

static void test_bounds(void **state)
{
	struct rig *rig = *state;
	static char script[LIMIT_JOB_BYTES + 1];
	struct pushed pushed = { 0 };
	struct jobs_order order = { .device = fleet_find(rig->ports.fleet, "r1"), .name = "a", .interpreter = "sh",
				    .script = script, .length = sizeof(script), .done = on_pushed, .arg = &pushed };

	assert_int_equal(jobs_push(rig->jobs, &order), -EMSGSIZE);
	for (unsigned i = 0; i < LIMIT_JOBS_WAITING; i++)
		push(rig, "r1", "x", 0);
	order.length = order.rollback_length = LIMIT_JOB_BYTES / 2 + 1;
	order.rollback = script;
	assert_int_equal(jobs_push(rig->jobs, &order), -EMSGSIZE);
	order.rollback_length = 0;
	order.length = 1;
	assert_int_equal(jobs_push(rig->jobs, &order), -EDQUOT);
	assert_int_equal(pushed.n_done, 0);
}

static void test_restart_counts_what_waits(void **state)
{
	struct rig *rig = *state;

	push(rig, "r1", "x", 0);
	push(rig, "r1", "y", 0);
	push(rig, "r2", "z", 0);
	report(rig, "r1", 1, 5, 0, "");
	rig_stop(rig);
	rig_start(rig);
	assert_int_equal(fleet_find(rig->ports.fleet, "r1")->jobs_waiting, 1);
	assert_int_equal(fleet_find(rig->ports.fleet, "r2")->jobs_waiting, 1);
	assert_int_equal(push(rig, "r2", "w", 0), 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_down_and_up),	  TEST(test_states_only_move_forward), TEST(test_bad_reports), TEST(test_wakes),
		TEST(test_confirmation), TEST(test_confirmation_of_a_job_that_was_not_reported),
		TEST(test_confirmations_that_are_refused), TEST(test_lost_journal_interrupts), TEST(test_expiry), TEST(test_bounds),
		TEST(test_restart_counts_what_waits), TEST(test_numbers_go_on_from_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
