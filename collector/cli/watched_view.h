/* watched_view: what is watched on a router, for people: one block of its own numbers, one table of its things. */
#ifndef JAGA_COLLECTOR_CLI_WATCHED_VIEW_H
#define JAGA_COLLECTOR_CLI_WATCHED_VIEW_H

#include <jansson.h>

#include "collector/cli/render.h"

/* router: the object of that name in rows of status and show. 0, or a negative errno of the output. */
int watched_view_print(const json_t *router, const struct render_target *target);

#endif
