/*
 * ros_row: see ros_row.h. Called by every file of the driver that takes rows.
 */
#include "agent/router/ros_row.h"

#include <string.h>

#include "common/parse.h"

const char *ros_row_text(const struct ros_sentence *row, const char *key)
{
	const char *value = ros_find(row, key);

	return value ? value : "";
}

bool ros_row_is(const struct ros_sentence *row, const char *key)
{
	const char *value = ros_row_text(row, key);

	return strcmp(value, "true") == 0 || strcmp(value, "yes") == 0;
}

bool ros_row_is_not(const struct ros_sentence *row, const char *key)
{
	return ros_find(row, key) && !ros_row_is(row, key);
}

uint64_t ros_row_number(const struct ros_sentence *row, const char *key)
{
	uint64_t number;

	return parse_u64(ros_row_text(row, key), 0, UINT64_MAX, &number) < 0 ? 0 : number;
}

bool ros_row_version(const struct ros_sentence *row, unsigned *ret_major, unsigned *ret_minor)
{
	const char *at = ros_row_text(row, "version");
	uint32_t major, minor = 0;

	if (parse_leading_u32(&at, &major) < 0)
		return false;
	if (*at++ != '.' || parse_leading_u32(&at, &minor) < 0)
		minor = 0;
	*ret_major = major;
	*ret_minor = minor;
	return true;
}
