/*
 * routeros_prove: would the router let the agent in again? A session that is open lives on when a script has taken away what the
 * next one needs: the service, the user, the rule of the firewall. So before a script is kept, another session is opened and
 * closed again.
 */
#ifndef JAGA_AGENT_ROUTER_ROUTEROS_PROVE_H
#define JAGA_AGENT_ROUTER_ROUTEROS_PROVE_H

#include "agent/router/routeros.h"

typedef void routeros_prove_fn(void *arg, int result, const char *reason);

struct routeros_proof { /* contents are private; all zero before the first */
	struct ev_loop *loop;
	struct ros_api *api; /* NULL: nothing is under way */
	ev_timer timer;
	bool is_open;
	struct err why;
	routeros_prove_fn *on_done;
	void *arg;
};

/* on_done follows, from the loop: 0, or -ETIMEDOUT after LIMIT_ROS_PROVE_MS, with why the last attempt failed. */
int routeros_prove(struct routeros_proof *proof, struct router *router, routeros_prove_fn *on_done, void *arg, struct err *err);
/* Also of one that was never begun. */
void routeros_prove_finish(struct routeros_proof *proof);

#endif
