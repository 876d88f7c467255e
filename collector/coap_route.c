/*
 * coap_route: see coap_route.h. One row a path; "*" stands for a segment that a function of the row reads.
 * Paths whose place is kept (enrolment) are known and answered 5.01, so that an agent
 * of a later version learns what this collector cannot do yet.
 */
#include "collector/coap_route.h"

#include <string.h>

#define NOT_YET (-1)

struct row {
	enum route_method method;
	unsigned n_segments;
	const char *segments[ROUTE_SEGMENTS - 1];
	int path; /* enum coap_path or NOT_YET */
	bool (*read)(const struct route_text *text, struct route *route);
	bool takes_query;
};

static bool read_hash(const struct route_text *text, struct route *route)
{
	char hex[2 * sizeof(route->hash) + 1];

	if (text->length != sizeof(hex) - 1)
		return false;
	memcpy(hex, text->bytes, text->length);
	hex[text->length] = '\0';
	return parse_hex(hex, route->hash, sizeof(route->hash)) == 0;
}

static bool read_job_id(const struct route_text *text, struct route *route)
{
	if (text->length >= sizeof(route->job_id) || memchr(text->bytes, '\0', text->length))
		return false;
	memcpy(route->job_id, text->bytes, text->length);
	route->job_id[text->length] = '\0';
	return parse_is_name(route->job_id);
}

static const struct row rows[] = {
	{ ROUTE_POST, 1, { "tm" }, COAP_PATH_TELEMETRY, NULL, false },
	{ ROUTE_POST, 1, { "hello" }, COAP_PATH_HELLO, NULL, false },
	{ ROUTE_PUT, 2, { "snap", "*" }, COAP_PATH_SNAPSHOT, read_hash, false },
	{ ROUTE_GET, 1, { "job" }, COAP_PATH_JOB, NULL, true },
	{ ROUTE_PUT, 3, { "job", "*", "state" }, COAP_PATH_JOB_STATE, read_job_id, false },
	{ ROUTE_POST, 3, { "job", "*", "confirm" }, COAP_PATH_JOB_CONFIRM, read_job_id, false },
	{ ROUTE_PUT, 1, { "doctor" }, COAP_PATH_DOCTOR, NULL, false },
	{ ROUTE_POST, 1, { "enroll" }, NOT_YET, NULL, false },
};

static bool equals(const struct route_text *text, const char *word)
{
	return text->length == strlen(word) && memcmp(text->bytes, word, text->length) == 0;
}

static bool matches(const struct row *row, const struct route_request *request)
{
	if (row->n_segments != request->n_segments)
		return false;
	for (unsigned i = 0; i < row->n_segments; i++)
		if (row->segments[i][0] != '*' && !equals(&request->segments[i], row->segments[i]))
			return false;
	return true;
}

/* "after=N"; no query means 0. */
static bool read_after(const struct route_request *request, struct route *route)
{
	static const char key[] = "after=";
	char digits[24];
	size_t length;

	if (request->n_queries == 0)
		return true;
	if (request->n_queries > 1 || request->query.length <= sizeof(key) - 1 ||
	    memcmp(request->query.bytes, key, sizeof(key) - 1) != 0)
		return false;
	length = request->query.length - (sizeof(key) - 1);
	if (length >= sizeof(digits))
		return false;
	memcpy(digits, request->query.bytes + sizeof(key) - 1, length);
	digits[length] = '\0';
	return strlen(digits) == length && parse_u64(digits, 0, UINT64_MAX, &route->after_seq) == 0;
}

static int read_row(const struct row *row, const struct route_request *request, struct route *route,
		    const char **ret_problem)
{
	for (unsigned i = 0; i < row->n_segments; i++) {
		if (row->segments[i][0] == '*' && !row->read(&request->segments[i], route)) {
			*ret_problem = row->read == read_hash ? "path: not a SHA-256" : "path: not a job";
			return 400;
		}
	}
	if (row->takes_query ? !read_after(request, route) : request->n_queries > 0) {
		*ret_problem = "query: not after=NUMBER";
		return 400;
	}
	if (row->path == NOT_YET) {
		*ret_problem = "not in this version";
		return 501;
	}
	route->path = (enum coap_path)row->path;
	return 0;
}

int route_parse(const struct route_request *request, struct route *ret_route, const char **ret_problem)
{
	struct route route = { 0 };
	bool is_known = false;
	int result;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!matches(&rows[i], request))
			continue;
		is_known = true;
		if (rows[i].method != request->method)
			continue;
		result = read_row(&rows[i], request, &route, ret_problem);
		if (result == 0)
			*ret_route = route;
		return result;
	}
	*ret_problem = is_known ? "method" : "no such path";
	return is_known ? 405 : 404;
}

bool route_is_same(const struct route *a, const struct route *b)
{
	return a->path == b->path && a->after_seq == b->after_seq && strcmp(a->job_id, b->job_id) == 0 &&
	       memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}
