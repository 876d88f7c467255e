/* ports: see ports.h. The two answers that every handler of requests gives when it cannot do its work. */
#include "collector/ports.h"

#include <errno.h>
#include <string.h>

void ports_refuse(const struct ports *ports, const struct coap_ticket *ticket, enum coap_code code, const char *text)
{
	struct coap_answer answer = { .code = code, .body = text, .length = text ? strlen(text) : 0 };

	ports->reply(ports->arg, ticket, &answer);
}

void ports_refuse_write(const struct ports *ports, const struct coap_ticket *ticket, int error)
{
	/* A full queue empties within a second; a full disk waits for a person. */
	struct coap_answer answer = {
		.code = COAP_UNAVAILABLE,
		.max_age_s = error == -EAGAIN ? LIMIT_BUSY_RETRY_S : LIMIT_FAULT_RETRY_S,
	};

	ports->reply(ports->arg, ticket, &answer);
}
