/* parse: see parse.h. Pure functions without locale, used by both configuration files and the CLIs. */
#include "common/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Reads digits of `base` from text up to the first other character; *ret_end points at it. */
static int read_digits(const char *text, unsigned base, uint64_t *ret_value, const char **ret_end)
{
	uint64_t value = 0;
	const char *at = text;

	for (; (unsigned)digit_value(*at) < base; at++) {
		uint64_t digit = (uint64_t)digit_value(*at);

		if (value > (UINT64_MAX - digit) / base)
			return -ERANGE;
		value = value * base + digit;
	}
	if (at == text)
		return -EINVAL;
	*ret_value = value;
	*ret_end = at;
	return 0;
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *end;
	uint64_t value;
	int r;

	r = read_digits(is_hex ? text + 2 : text, is_hex ? 16 : 10, &value, &end);
	if (r < 0)
		return r;
	if (*end != '\0')
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value)
{
	uint64_t value;
	int r = parse_u64(text, min, max, &value);

	if (r < 0)
		return r;
	*ret_value = (uint32_t)value;
	return 0;
}

int parse_leading_u32(const char **at, uint32_t *ret_value)
{
	const char *end;
	uint64_t value;
	int r = read_digits(*at, 10, &value, &end);

	if (r < 0)
		return r;
	if (value > UINT32_MAX)
		return -ERANGE;
	*ret_value = (uint32_t)value;
	*at = end;
	return 0;
}

int parse_bool(const char *text, bool *ret_value)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*ret_value = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

int parse_duration_ms(const char *text, int64_t min_ms, int64_t max_ms, int64_t *ret_ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	const char *unit;
	uint64_t value;
	int r;

	r = read_digits(text, 10, &value, &unit);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (value > (uint64_t)INT64_MAX / units[i].ms)
			return -ERANGE;
		if ((int64_t)(value * units[i].ms) < min_ms || (int64_t)(value * units[i].ms) > max_ms)
			return -ERANGE;
		*ret_ms = (int64_t)(value * units[i].ms);
		return 0;
	}
	return -EINVAL;
}

int parse_hex(const char *text, uint8_t *ret_bytes, size_t length)
{
	if (strlen(text) != 2 * length)
		return -EINVAL;
	for (size_t i = 0; i < 2 * length; i++)
		if (digit_value(text[i]) > 15)
			return -EINVAL;
	for (size_t i = 0; i < length; i++)
		ret_bytes[i] = (uint8_t)(digit_value(text[2 * i]) << 4 | digit_value(text[2 * i + 1]));
	return 0;
}

bool parse_is_name(const char *text)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t length = strlen(text);

	if (length == 0 || length >= LIMIT_NAME || !strchr(first, text[0]))
		return false;
	for (size_t i = 1; i < length; i++)
		if (!strchr(first, text[i]) && !strchr("._-", text[i]))
			return false;
	return true;
}

/* Splits "HOST:PORT", "[HOST6]:PORT", "HOST" or "HOST6" into host and port text (NULL: none). */
static int split_host(const char *text, char host[static LIMIT_HOST], const char **ret_port)
{
	const char *begin = text, *end, *port = NULL;

	if (*text == '[') {
		begin = text + 1;
		end = strchr(begin, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return -EINVAL;
		if (end[1] == ':')
			port = end + 2;
	} else {
		end = strchr(text, ':');
		if (end && !strchr(end + 1, ':'))
			port = end + 1;
		else
			end = text + strlen(text);
	}
	if ((size_t)(end - begin) >= LIMIT_HOST)
		return -EINVAL;
	memcpy(host, begin, (size_t)(end - begin));
	host[end - begin] = '\0';
	*ret_port = port;
	return 0;
}

int parse_address(const char *text, uint16_t default_port, struct parse_address *ret_address)
{
	struct parse_address address = { .port = default_port };
	char host[LIMIT_HOST];
	const char *port_text;
	uint32_t port;
	int r;

	r = split_host(text, host, &port_text);
	if (r < 0)
		return r;
	if (port_text) {
		r = parse_u32(port_text, 1, 65535, &port);
		if (r < 0)
			return r;
		address.port = (uint16_t)port;
	}
	if (inet_pton(AF_INET, host, &address.v4) == 1)
		address.family = AF_INET;
	else if (inet_pton(AF_INET6, host, &address.v6) == 1)
		address.family = AF_INET6;
	else
		return -EINVAL;
	*ret_address = address;
	return 0;
}

socklen_t parse_address_to_sockaddr(const struct parse_address *address, struct sockaddr_storage *ret_storage)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_storage;
	struct sockaddr_in *in4 = (struct sockaddr_in *)ret_storage;

	memset(ret_storage, 0, sizeof(*ret_storage));
	if (address->family == AF_INET6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(address->port);
		in6->sin6_addr = address->v6;
		return sizeof(*in6);
	}
	in4->sin_family = AF_INET;
	in4->sin_port = htons(address->port);
	in4->sin_addr = address->v4;
	return sizeof(*in4);
}
