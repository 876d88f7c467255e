/*
 * config_lab: a text loaded as a file of the agent's, and what is said of it. Included once by a test program.
 */
#ifndef JAGA_TESTS_CONFIG_LAB_H
#define JAGA_TESTS_CONFIG_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/config.h"

static char errors_text[16384];
static struct agent_config config;

static inline void write_text(const char *to, const char *text, size_t length)
{
	FILE *file = fopen(to, "w");

	assert_non_null(file);
	assert_true(fwrite(text, 1, length, file) == length);
	assert_int_equal(fclose(file), 0);
}

/* Loads the text as the file `from`; errors_text gets what it says, with the path cut from each line. */
static inline int load_from(const char *from, const char *text, size_t length, struct agent_config *ret_config)
{
	char raw[sizeof(errors_text)] = "";
	FILE *errors = fmemopen(raw, sizeof(raw) - 1, "w");
	size_t used = 0;
	int r;

	assert_non_null(errors);
	write_text(from, text, length);
	r = config_load(from, errors, ret_config);
	fclose(errors);
	errors_text[0] = '\0';
	for (char *line = strtok(raw, "\n"); line; line = strtok(NULL, "\n")) {
		assert_memory_equal(line, from, strlen(from));
		used += (size_t)snprintf(errors_text + used, sizeof(errors_text) - used, "%s\n", line + strlen(from) + 1);
	}
	return r;
}

struct wrong_file {
	const char *text;
	const char *errors; /* every line of them */
};

static inline void expect_wrong(const char *from, const struct wrong_file *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		memset(&config, 0x5a, sizeof(config));
		assert_int_equal(load_from(from, files[i].text, strlen(files[i].text), &config), -EINVAL);
		assert_string_equal(errors_text, files[i].errors);
		assert_int_equal(config.identity[0], 0x5a); /* untouched on failure */
	}
}

#endif
