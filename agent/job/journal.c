/*
 * journal: see journal.h. Lines for people, then the output as it came:
 *
 *   jaga-journal 2
 *   hiwater=17
 *   wall_ms=1763700000000
 *   phase=4
 *   job=j-17
 *   seq=17
 *   exit=0
 *   attempt=1
 *   confirm=90            not in version 1, whose jobs had no way back
 *   duration_ms=120
 *   truncated=0
 *   reason=
 *   output=5
 *   crc=1c291ca3          CRC-32 of everything above and of the output
 *   hello
 *
 * Called by runner.c.
 */
#include "agent/job/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/parse.h"

#define HEAD_BYTES 1024 /* all lines at their longest */

static uint32_t checksum(const char *head, size_t head_length, const char *output, size_t output_length)
{
	uLong crc = crc32(0, (const Bytef *)head, (uInt)head_length);

	if (output_length > 0) /* zlib takes a NULL for "begin anew" */
		crc = crc32(crc, (const Bytef *)output, (uInt)output_length);
	return (uint32_t)crc;
}

/* --- writing ------------------------------------------------------------------------------------ */

static void put_head(struct buf *buf, const struct journal_record *record, const char *output)
{
	buf_printf(buf, "jaga-journal 2\nhiwater=%" PRIu64 "\nwall_ms=%" PRId64 "\nphase=%d\njob=%s\nseq=%" PRIu64 "\n",
		   record->hiwater, record->wall_ms, (int)record->phase, record->job_id, record->seq);
	buf_printf(buf, "exit=%" PRIu32 "\nattempt=%" PRIu32 "\nconfirm=%" PRIu32 "\n", (uint32_t)record->exit_status,
		   record->attempt, record->confirm_s);
	buf_printf(buf, "duration_ms=%" PRId64 "\ntruncated=%d\nreason=", record->duration_ms, record->output_truncated);
	for (const char *at = record->reason; *at; at++)
		buf_put(buf, (unsigned char)*at < 0x20 ? " " : at, 1);
	buf_printf(buf, "\noutput=%zu\n", record->output_length);
	buf_printf(buf, "crc=%08" PRIx32 "\n", checksum(buf->data, buf->length, output, record->output_length));
}

/* The new file and its name are on the disk when this returns 0. */
static int replace_file(int dir, const struct buf *head, const char *output, size_t output_length)
{
	int fd = openat(dir, "journal.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;

	if (fd < 0)
		return -errno;
	r = file_write_all(fd, head->data, head->length);
	if (r == 0)
		r = file_write_all(fd, output, output_length);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(dir, "journal.new", dir, "journal") < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, "journal.new", 0); /* half of it would keep the room that is missing; it may be renamed */
	if (r == 0 && fsync(dir) < 0)
		r = -errno;
	return r;
}

int journal_save(const char *dir, const struct journal_record *record, const char *output, struct err *err)
{
	char memory[HEAD_BYTES];
	struct buf head;
	int fd, r;

	buf_init(&head, memory, sizeof(memory));
	put_head(&head, record, output);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "%s", dir);
	r = replace_file(fd, &head, output, record->output_length);
	close(fd);
	return r < 0 ? err_sys(err, r, "%s/journal", dir) : 0;
}

/* --- reading ------------------------------------------------------------------------------------ */

/* Reads "name=" and the value up to the line's end, which becomes a NUL; NULL when it is not there. */
static char *take_field(char **at, const char *name)
{
	size_t length = strlen(name);
	char *value, *end;

	if (!*at || strncmp(*at, name, length) != 0 || (*at)[length] != '=')
		return *at = NULL;
	value = *at + length + 1;
	end = strchr(value, '\n');
	if (!end)
		return *at = NULL;
	*end = '\0';
	*at = end + 1;
	return value;
}

static uint64_t take_number(char **at, const char *name, uint64_t max)
{
	char *value = take_field(at, name);
	uint64_t number = 0;

	if (value && parse_u64(value, 0, max, &number) < 0)
		*at = NULL;
	return number;
}

static void take_text(char **at, const char *name, char *ret_text, size_t size)
{
	char *value = take_field(at, name);

	if (value && strlen(value) < size)
		memcpy(ret_text, value, strlen(value) + 1);
	else
		*at = NULL;
}

/* The lines before "crc=", which the checksum has vouched for. */
static int parse_head(char *at, int version, struct journal_record *ret_record)
{
	struct journal_record record = { .hiwater = 0 };

	record.hiwater = take_number(&at, "hiwater", UINT64_MAX);
	record.wall_ms = (int64_t)take_number(&at, "wall_ms", INT64_MAX);
	record.phase = (enum job_phase)take_number(&at, "phase", JOB_KEEPING);
	take_text(&at, "job", record.job_id, sizeof(record.job_id));
	record.seq = take_number(&at, "seq", UINT64_MAX);
	record.exit_status = (int)(uint32_t)take_number(&at, "exit", UINT32_MAX);
	record.attempt = (uint32_t)take_number(&at, "attempt", UINT32_MAX);
	if (version >= 2)
		record.confirm_s = (uint32_t)take_number(&at, "confirm", UINT32_MAX);
	record.duration_ms = (int64_t)take_number(&at, "duration_ms", INT64_MAX);
	record.output_truncated = take_number(&at, "truncated", 1) != 0;
	take_text(&at, "reason", record.reason, sizeof(record.reason));
	record.output_length = (size_t)take_number(&at, "output", LIMIT_OUTPUT_BYTES);
	if (!at || *at != '\0')
		return -EBADMSG;
	*ret_record = record;
	return 0;
}

/* text: the whole file, with a NUL behind it. */
static int parse(char *text, size_t length, struct journal_record *ret_record, char *ret_output)
{
	static const char title[] = "jaga-journal N\n";
	const size_t digit = sizeof(title) - 3;
	struct journal_record record;
	char *crc = strstr(text, "\ncrc="), *output, *end;
	char expected[16];

	if (strncmp(text, title, digit) != 0 || (text[digit] != '1' && text[digit] != '2') || text[digit + 1] != '\n' || !crc)
		return -EBADMSG;
	crc++;
	end = strchr(crc, '\n');
	if (!end)
		return -EBADMSG;
	*end = '\0';
	output = end + 1;
	snprintf(expected, sizeof(expected), "crc=%08" PRIx32,
		 checksum(text, (size_t)(crc - text), output, length - (size_t)(output - text)));
	if (strcmp(crc, expected) != 0)
		return -EBADMSG;
	*crc = '\0';
	if (parse_head(text + sizeof(title) - 1, text[digit] - '0', &record) < 0 ||
	    record.output_length != length - (size_t)(output - text))
		return -EBADMSG;
	memcpy(ret_output, output, record.output_length);
	*ret_record = record;
	return 0;
}

static int read_file(int fd, char *text, size_t size, size_t *ret_length)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = read(fd, text + length, size - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	*ret_length = length;
	return 0;
}

int journal_load(const char *dir, struct journal_record *ret_record, char *ret_output, struct err *err)
{
	size_t size = HEAD_BYTES + LIMIT_OUTPUT_BYTES, length = 0;
	char path[LIMIT_PATH + 16];
	char *text = NULL;
	int fd, r;

	memset(ret_record, 0, sizeof(*ret_record));
	snprintf(path, sizeof(path), "%s/journal", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : err_sys(err, -errno, "%s", path);
	text = malloc(size + 1);
	if (!text) {
		r = err_set(err, -ENOMEM, "%s: no memory", path);
		goto out;
	}
	r = read_file(fd, text, size, &length);
	if (r < 0) {
		err_sys(err, r, "%s", path);
		goto out;
	}
	text[length] = '\0';
	r = parse(text, length, ret_record, ret_output);
	if (r < 0)
		err_set(err, r, "%s is damaged: no job is run, because one could run twice; when none can be waiting, remove it",
			path);
out:
	free(text);
	close(fd);
	return r;
}
