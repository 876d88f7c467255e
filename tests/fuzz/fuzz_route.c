/*
 * Fuzzes the collector's reading of method, path and query. First byte: method; then segments ended by '/', a query
 * after '?'. What is accepted must hold only what it may hold.
 */
#include <stdlib.h>
#include <string.h>

#include "collector/coap_route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_segment(struct route_request *request, const uint8_t *bytes, size_t length)
{
	if (request->n_segments < ROUTE_SEGMENTS)
		request->segments[request->n_segments] = (struct route_text){ bytes, length };
	request->n_segments++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct route_request request = { 0 };
	const uint8_t *at, *end = data + size, *query;
	const char *problem = NULL;
	struct route route;
	int code;

	if (size == 0)
		return 0;
	request.method = data[0];
	at = data + 1;
	query = memchr(at, '?', (size_t)(end - at));
	if (query) {
		request.n_queries = 1;
		request.query = (struct route_text){ query + 1, (size_t)(end - query - 1) };
		end = query;
	}
	while (at < end) {
		const uint8_t *slash = memchr(at, '/', (size_t)(end - at));
		const uint8_t *stop = slash ? slash : end;

		add_segment(&request, at, (size_t)(stop - at));
		at = stop + (slash != NULL);
	}
	code = route_parse(&request, &route, &problem);
	if (code ? code < 400 || code > 501 || !problem : (int)route.path < 0 || route.path > COAP_PATH_DOCTOR)
		abort();
	if (code == 0 && route.path == COAP_PATH_JOB_STATE && !parse_is_name(route.job_id))
		abort();
	if (code == 0 && !route_is_same(&route, &route))
		abort();
	return 0;
}
