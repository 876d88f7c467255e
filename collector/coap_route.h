/*
 * coap_route: method, path and query of a request -> what it asks for (proto/README.md). Pure.
 */
#ifndef JAGA_COLLECTOR_COAP_ROUTE_H
#define JAGA_COLLECTOR_COAP_ROUTE_H

#include "collector/coap.h"

#define ROUTE_SEGMENTS 4 /* one more than the longest path has, to tell it from a longer one */

enum route_method { ROUTE_GET = 1, ROUTE_POST = 2, ROUTE_PUT = 3 }; /* RFC 7252 section 12.1.1; others are refused */

struct route_text {
	const uint8_t *bytes;
	size_t length;
};

struct route_request {
	unsigned method;
	unsigned n_segments; /* the first ROUTE_SEGMENTS are stored */
	struct route_text segments[ROUTE_SEGMENTS];
	unsigned n_queries; /* only the first is stored */
	struct route_text query;
};

struct route {
	enum coap_path path;
	uint8_t hash[32];
	char job_id[LIMIT_NAME];
	uint64_t after_seq;
};

/* Returns 0, or the response code (400, 404, 405, 501) and a diagnostic text. */
int route_parse(const struct route_request *request, struct route *ret_route, const char **ret_problem);
/* Whether two requests belong to the same transfer. */
bool route_is_same(const struct route *a, const struct route *b);

#endif
