/*
 * The RouterOS driver, whole, with a hostile router: what menus hold, what listens tell, how scripts, exports and files come out.
 * Whatever it is, operations end once, what is told to people is text, nothing is left when the driver closes. Streams and time
 * are ros_world's.
 *
 * Input is text. The first line: what happens, a letter each (step() below). The rest is what the router answers, see ros_menus.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/router/router.h"
#include "common/random.h"
#include "tests/fuzz/ros_menus.h"
#include "tests/fuzz/ros_world.h"

#define BUCKETS 8

static const char configuration[] = "[agent]\nidentity = r1\nbuckets = 8\nstate_dir = /proc/nowhere\n[router]\ndriver = routeros\naddress = 192.0.2.1\nuser = jaga\n"
				    "[lan]\ninterfaces = bridge, guests\n"
				    "[uplink isp1]\ninterface = ether1\nsource = 192.0.2.11\ntargets = 1.1.1.1\nweight = 60\n"
				    "[uplink isp2]\ninterface = ether2\ngateway = 10.0.2.1\nsource = 192.0.2.12\ntargets = 8.8.8.8\n"
				    "[uplink isp3]\ninterface = pppoe-out1\ngateway = none\nsource = 192.0.2.13\ntargets = 9.9.9.9\ntier = 2\n";

enum operation { CHECK, SNAPSHOT, SCRIPT, SAVE, OPERATIONS };

static struct {
	struct router *router;
	bool is_ready, is_closing;
	bool is_under_way[OPERATIONS];
	enum router_trap_level worst;
} play;

/* Names of scripts are drawn, and answers must know them. */
void random_fill(void *bytes, size_t length)
{
	memset(bytes, 0x11, length);
}
bool random_is_ready(void) { return true; }
int random_wait(void) { return 0; }

/* --- what must hold --------------------------------------------------------------------------------------- */

static void check_text(const char *text, size_t most)
{
	if (strlen(text) == 0 || strlen(text) > most)
		abort();
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			abort();
}

static void begin_operation(enum operation operation, int result, const struct err *err)
{
	if (result < 0)
		check_text(err->text, sizeof(err->text));
	else if (play.is_under_way[operation])
		abort(); /* one at a time */
	else
		play.is_under_way[operation] = true;
}

static void end_operation(enum operation operation)
{
	if (!play.is_under_way[operation] || play.is_closing)
		abort();
	play.is_under_way[operation] = false;
}

static void on_ready(void *arg)
{
	(void)arg;
	if (play.is_ready)
		abort();
	play.is_ready = true;
}

static void on_uplink(void *arg, unsigned uplink, const struct router_uplink_state *state)
{
	(void)arg;
	if (uplink > 2 || !state)
		abort();
}

static void on_watch(void *arg, const struct router_change *change)
{
	(void)arg;
	if (change->watch <= ROUTER_WATCH_NONE || change->watch >= ROUTER_WATCHES || change->n_names == 0 ||
	    change->n_names > LIMIT_WATCH_NAMES || change->lasted_ms < 0 || !change->address || !change->caller || !change->detail)
		abort();
	for (unsigned i = 0; i < change->n_names; i++)
		if (strlen(change->names[i]) == 0 || strlen(change->names[i]) > LIMIT_WATCH_NAME)
			abort();
}

static void on_restart(void *arg, const struct router_restart *restart)
{
	(void)arg;
	if (restart->uptime_s < 0 || strlen(restart->version) >= LIMIT_TEXT || strlen(restart->previous_version) >= LIMIT_TEXT)
		abort();
}

static void on_reach(void *arg, const struct err *why)
{
	(void)arg;
	if (why)
		check_text(why->text, sizeof(why->text));
}

static void on_trouble(void *arg, enum log_level level, const char *text)
{
	(void)arg;
	(void)level;
	check_text(text, LIMIT_ERR_TEXT);
}

static void on_trap(void *arg, const struct router_trap *trap)
{
	(void)arg;
	check_text(trap->id, LIMIT_NAME);
	check_text(trap->what, LIMIT_ERR_TEXT);
	if (trap->level != ROUTER_TRAP_OK)
		check_text(trap->fix, LIMIT_ERR_TEXT);
	if (trap->level > play.worst)
		play.worst = trap->level;
}

static void on_checked(void *arg, enum router_trap_level worst, const struct err *error)
{
	(void)arg;
	end_operation(CHECK);
	if (error)
		check_text(error->text, sizeof(error->text));
	else if (worst != play.worst)
		abort();
}

static void on_snapshot(void *arg, const char *text, size_t length, const struct err *error)
{
	(void)arg;
	end_operation(SNAPSHOT);
	if (!text == !error || (error && error->text[0] == '\0'))
		abort();
	if (text && (length == 0 || length > LIMIT_BODY_BYTES || text[length] != '\0' || text[length - 1] != '\n'))
		abort();
}

static void on_script(void *arg, const struct router_script_result *result)
{
	(void)arg;
	end_operation(SCRIPT);
	if (result->exit_status < -1 || result->output_length > LIMIT_OUTPUT_BYTES || result->duration_ms < 0 ||
	    (result->exit_status == -1) != (result->reason != NULL && result->reason[0] != '\0'))
		abort();
}

static void on_done(void *arg, int result, const char *reason)
{
	(void)arg;
	end_operation(SAVE);
	if (result > 0 || (result < 0 && reason[0] == '\0'))
		abort();
}

static void on_thing(void *arg, const struct router_thing *thing)
{
	(void)arg;
	if (thing->watch <= ROUTER_WATCH_NONE || thing->watch >= ROUTER_WATCHES || thing->lasted_s < 0 ||
	    strlen(thing->name) > LIMIT_WATCH_NAME || (thing->carrier && strlen(thing->carrier) > LIMIT_WATCH_NAME))
		abort();
}

/* --- what happens ------------------------------------------------------------------------------------------------ */

static void run_script(size_t length)
{
	static char script[LIMIT_ROS_EXECUTE_BYTES + 8192]; /* two pieces */
	struct err err = { "" };
	int r;

	if (script[0] == '\0')
		for (size_t i = 0; i + 16 < sizeof(script); i += 16)
			memcpy(script + i, "/ip address set\n", 16);
	r = router_routeros.run_script(play.router, "J1", "", script, length, 30000, on_script, NULL, &err);
	begin_operation(SCRIPT, r, &err);
}

static void save_point(const char *rollback)
{
	const struct router_save_spec spec = { .job_id = "J1", .script = "/ip address set 0 disabled=yes\n", .length = 31, .rollback = rollback,
					       .rollback_length = rollback ? strlen(rollback) : 0, .confirm_s = 120 };
	struct err err = { "" };
	int r = router_routeros.save_point(play.router, &spec, on_done, NULL, &err);

	begin_operation(SAVE, r, &err);
}

static void forward(bool takes_over, unsigned live)
{
	struct forwarding_plan plan = { .n_buckets = BUCKETS, .n_uplinks = 3, .live = { 0, 1, 2 } };
	struct err err = { "" };
	bool is_adopted;
	int r;

	for (unsigned i = 0; i < BUCKETS; i++)
		plan.bucket[i] = (uint8_t)(live == 3 ? i % 2 : live);
	for (unsigned i = 0; i < 3 && live < 3; i++)
		plan.live[i] = (uint8_t)live;
	r = takes_over ? router_routeros.take_over(play.router, &plan, &is_adopted, &err) : router_routeros.apply(play.router, &plan, &err);
	if (r < 0)
		check_text(err.text, sizeof(err.text));
}

static void read_all(void)
{
	struct router_uplink_state state;
	struct router_counters counters;
	struct router_health health;
	struct forwarding_plan plan;
	struct err err = { "" };

	for (unsigned i = 0; i < 3; i++)
		if (router_routeros.read_uplink(play.router, i, &state) < 0 || router_routeros.read_counters(play.router, i, &counters) < 0)
			abort();
	if (router_routeros.read_watched(play.router, &health, on_thing, NULL) == 0 &&
	    (health.uptime_s < 0 || strlen(health.version) >= LIMIT_TEXT))
		abort();
	if (router_routeros.read_plan(play.router, &plan, &err) < 0)
		return;
	for (unsigned i = 0; i < plan.n_buckets; i++)
		if (plan.bucket[i] >= plan.n_uplinks)
			abort();
	for (unsigned i = 0; i < plan.n_uplinks; i++)
		if (plan.live[i] >= plan.n_uplinks)
			abort();
}

static void flush(void)
{
	struct err err;
	uint32_t flows;

	(void)router_routeros.flush(play.router, 0, ROUTER_FLUSH_ALL, &flows, &err);
	(void)router_routeros.flush(play.router, 1, ROUTER_FLUSH_UNREPLIED, &flows, &err);
}

/* Nothing but time passes before the router has been read once. */
static void step(char what)
{
	struct err err = { "" };

	if (what >= '0' && what <= '5') {
		static const int64_t pass_ms[] = { 100, 1000, 10000, 30000, 60000, 600000 };

		world_pass(pass_ms[what - '0']);
	} else if (what == 'x') {
		world_end(world_stream(0), "the router closed the connection");
	} else if (what == 'n') {
		world_refuse_next();
	} else if (!play.is_ready) {
		return;
	} else if (strchr("tabc", what)) {
		forward(what == 't', what == 't' ? 3 : (unsigned)(what - 'a'));
	} else if (what == 'f') {
		flush();
	} else if (what == 'd') {
		play.worst = ROUTER_TRAP_OK;
		begin_operation(CHECK, router_routeros.check(play.router, on_trap, on_checked, NULL, &err), &err);
	} else if (what == 's') {
		begin_operation(SNAPSHOT, router_routeros.snapshot(play.router, on_snapshot, NULL, &err), &err);
	} else if (what == 'r' || what == 'R') {
		run_script(what == 'r' ? 32 : LIMIT_ROS_EXECUTE_BYTES + 4096);
	} else if (what == 'v' || what == 'V') {
		save_point(what == 'v' ? NULL : "/ip address set 0 disabled=no\n");
	} else if (what == 'k') {
		begin_operation(SAVE, router_routeros.commit(play.router, "J1", on_done, NULL, &err), &err);
	} else if (what == 'u') {
		begin_operation(SAVE, router_routeros.roll_back(play.router, "J1", on_done, NULL, &err), &err);
	} else if (what == 'm') {
		(void)router_routeros.remove(play.router, &err);
	} else if (what == 'w') {
		read_all();
	} else if (what == 'l') {
		ros_menus_tell_listens();
	}
}

static const struct agent_config *load(void)
{
	static struct agent_config config;
	char path[32];
	int fd = config.n_uplinks ? -1 : memfd_create("config", MFD_CLOEXEC);

	if (config.n_uplinks)
		return &config;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || write(fd, configuration, strlen(configuration)) < 0 || config_load(path, stderr, &config) < 0)
		abort();
	close(fd);
	return &config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct router_events events = { .on_ready = on_ready, .on_uplink = on_uplink, .on_watch = on_watch,
						     .on_restart = on_restart, .on_reach = on_reach, .on_trouble = on_trouble };
	const struct agent_config *config = load();
	const char *text = (const char *)data, *end = text + size;
	struct err err;

	if (size > ROS_MENUS_BYTES)
		return 0;
	log_init(LOG_LEVEL_ERROR, false);
	memset(&play, 0, sizeof(play));
	world_begin(ros_menus_on_sent, NULL);
	ros_menus_begin(text, end);
	if (router_routeros.open(NULL, config, &events, NULL, &play.router, &err) < 0)
		abort();
	world_pass(0);
	ros_menus_answer();
	for (unsigned steps = 0; text < end && *text != '\n' && steps < 32; steps++) {
		step(*text++);
		ros_menus_answer();
		world_pass(0);
		ros_menus_answer();
	}
	play.is_closing = true;
	router_routeros.close(play.router);
	return 0;
}
