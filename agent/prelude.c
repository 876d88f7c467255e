/*
 * prelude: see prelude.h.
 *
 * A child waits for the kernel's random numbers, not a timer: since 5.4 the kernel gathers what it lacks
 * within about a second when somebody waits, and nothing when somebody only asks. No seed is kept across boots:
 * crediting a file that may have been copied with the flash of another router makes keys that are known.
 *
 * Called by agent.c.
 */
#include "agent/prelude.h"

#include <string.h>

#include "agent/system.h"
#include "common/random.h"

static void look(struct prelude *prelude);

static int wait_for_random(void *arg)
{
	(void)arg;
	return random_wait() == 0 ? 0 : 1;
}

static void look_later(struct prelude *prelude)
{
	if (ev_is_active(&prelude->retry))
		return;
	ev_timer_set(&prelude->retry, (ev_tstamp)LIMIT_UPKEEP_MS / 1000, 0);
	ev_timer_start(prelude->loop, &prelude->retry);
}

static void on_waited(void *arg, const struct child_result *result)
{
	struct prelude *prelude = arg;

	if (result->exit_status == 0)
		look(prelude);
	else
		look_later(prelude); /* not within its time: waits again */
}

static void look_for_random(struct prelude *prelude)
{
	const struct child_spec spec = { .function = wait_for_random, .extra_fd = -1, .timeout_ms = LIMIT_RANDOM_MS };
	struct err err = { "" };

	prelude->has_random = random_is_ready();
	if (prelude->has_random) {
		condition_clear(prelude->conditions, CONDITION_RANDOM, "random numbers are there");
		return;
	}
	condition_set(prelude->conditions, CONDITION_RANDOM, LOG_LEVEL_WARNING,
		      "no session yet: the kernel has gathered no random numbers for its keys; forwarding does not wait");
	if (!child_is_running(&prelude->waiter) &&
	    child_start(&prelude->waiter, prelude->loop, &spec, on_waited, prelude, &err) < 0)
		look_later(prelude); /* no memory for a child: the kernel may gather some by itself */
}

static void look_for_key(struct prelude *prelude)
{
	struct err err = { "" };

	prelude->has_key = system_read_key(prelude->key_file, prelude->key, &err) == 0;
	if (prelude->has_key) {
		condition_clear(prelude->conditions, CONDITION_KEY, "the key is there");
		return;
	}
	condition_set(prelude->conditions, CONDITION_KEY, LOG_LEVEL_ERROR,
		      "%.120s; nothing is reported until the key is right; forwarding goes on", err.text);
	look_later(prelude);
}

static void look(struct prelude *prelude)
{
	if (!prelude->has_random)
		look_for_random(prelude);
	if (!prelude->has_key)
		look_for_key(prelude);
	if (!prelude->has_key || !prelude->has_random)
		return;
	ev_timer_stop(prelude->loop, &prelude->retry);
	prelude->on_ready(prelude->arg, prelude->key);
	explicit_bzero(prelude->key, sizeof(prelude->key));
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	look(timer->data);
}

void prelude_start(struct prelude *prelude, struct ev_loop *loop, const char *key_file, struct conditions *conditions,
		   prelude_ready_fn *on_ready, void *arg)
{
	*prelude = (struct prelude){
		.loop = loop,
		.key_file = key_file,
		.conditions = conditions,
		.on_ready = on_ready,
		.arg = arg,
	};
	child_init(&prelude->waiter);
	ev_init(&prelude->retry, on_retry);
	prelude->retry.data = prelude;
	look(prelude);
}

void prelude_stop(struct prelude *prelude)
{
	if (!prelude->loop)
		return;
	ev_timer_stop(prelude->loop, &prelude->retry);
	child_kill(&prelude->waiter);
	explicit_bzero(prelude->key, sizeof(prelude->key));
}
