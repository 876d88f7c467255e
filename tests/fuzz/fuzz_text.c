/*
 * Fuzzes the agent's parsers of text: requests to the local socket, and what configuration commands print.
 * The first byte picks one. Canonical text must stay as it is when it is made canonical again.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/local.h"
#include "agent/router/canonical.h"

#define KINDS (CANONICAL_RULE + 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_canonical(enum canonical_kind kind, const uint8_t *data, size_t size)
{
	/* Canonical text is shorter than what it came from, but for a last line feed. */
	char *text = malloc(size + 1), *first = malloc(size + 2), *second = malloc(size + 3);
	struct buf once, twice;

	memcpy(text, data, size);
	buf_init(&once, first, size + 2);
	canonical_put(kind, text, size, &once);
	if (once.failed)
		abort();
	buf_init(&twice, second, size + 3);
	memcpy(text = realloc(text, once.length + 1), first, once.length);
	canonical_put(kind, text, once.length, &twice);
	if (twice.failed || (kind == CANONICAL_PLAIN && strcmp(first, second) != 0))
		abort();
	free(text);
	free(first);
	free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[LIMIT_REQUEST_BYTES];
	struct local_request request;

	if (size == 0)
		return 0;
	if (data[0] % (KINDS + 1) < KINDS) {
		check_canonical((enum canonical_kind)(data[0] % (KINDS + 1)), data + 1, size - 1);
		return 0;
	}
	size = size - 1 < sizeof(line) - 1 ? size - 1 : sizeof(line) - 1;
	memcpy(line, data + 1, size);
	line[size] = '\0';
	if (local_parse(line, &request) == 0)
		for (unsigned i = 0; i < request.n_words; i++)
			if (request.words[i][0] == '\0' || strlen(request.words[i]) >= sizeof(line))
				abort();
	return 0;
}
