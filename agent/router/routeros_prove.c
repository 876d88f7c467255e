/*
 * routeros_prove: see routeros_prove.h. Called by routeros_save.c.
 *
 *	open another session -> it is open -------------------> close it, done
 *		 ^------- it is refused, or lost -- too long --> why
 */
#include "agent/router/routeros_prove.h"

#include <errno.h>
#include <string.h>

/* A session is not destroyed within its own callback. */
static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct routeros_proof *proof = timer->data;

	(void)loop;
	(void)revents;
	routeros_prove_finish(proof);
	if (proof->is_open)
		proof->on_done(proof->arg, 0, "");
	else
		proof->on_done(proof->arg, -ETIMEDOUT, proof->why.text[0] ? proof->why.text : "it does not answer");
	/* proof may be gone */
}

static void on_open(void *arg)
{
	struct routeros_proof *proof = arg;

	proof->is_open = true;
	ev_timer_stop(proof->loop, &proof->timer);
	ev_timer_set(&proof->timer, 0, 0);
	ev_timer_start(proof->loop, &proof->timer);
}

static void on_lost(void *arg, int64_t retry_ms, const struct err *why)
{
	struct routeros_proof *proof = arg;

	(void)retry_ms; /* it tries again by itself */
	proof->why = *why;
}

int routeros_prove(struct routeros_proof *proof, struct router *router, routeros_prove_fn *on_done, void *arg, struct err *err)
{
	static const struct ros_api_events events = { .on_open = on_open, .on_lost = on_lost };
	struct ros_api_settings settings;
	int r = routeros_settings(router->config, &settings, err);

	*proof = (struct routeros_proof){ .loop = router->loop, .on_done = on_done, .arg = arg };
	ev_timer_init(&proof->timer, on_timer, LIMIT_ROS_PROVE_MS / 1000.0, 0);
	proof->timer.data = proof;
	if (r == 0)
		r = ros_api_create(router->loop, &settings, &events, proof, &proof->api, err);
	explicit_bzero(settings.password, sizeof(settings.password));
	if (r == 0)
		ev_timer_start(router->loop, &proof->timer);
	return r;
}

void routeros_prove_finish(struct routeros_proof *proof)
{
	if (!proof->api)
		return;
	ev_timer_stop(proof->loop, &proof->timer);
	ros_api_destroy(proof->api);
	proof->api = NULL;
}
