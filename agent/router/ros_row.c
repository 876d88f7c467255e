/*
 * ros_row: see ros_row.h. Called by every file of the driver that takes rows.
 */
#include "agent/router/ros_row.h"

#include <string.h>

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
