/*
 * human: see human.h. Every text for people goes through here, so that the same fact looks the same
 * in a table, in a sentence and in an error. Machines get plain numbers from --json and --kv.
 */
#include "collector/cli/human.h"

#include <inttypes.h>
#include <stddef.h>
#include <time.h>

#define MS_PER_S 1000
#define MS_PER_MIN (60 * (int64_t)MS_PER_S)
#define MS_PER_H (60 * MS_PER_MIN)
#define MS_PER_DAY (24 * MS_PER_H)

/* "3 h 5 min", "3 h": the second part only when it is not zero. */
static void put_two(struct buf *buf, int64_t big, const char *big_unit, int64_t small, const char *small_unit)
{
	buf_printf(buf, "%" PRId64 " %s", big, big_unit);
	if (small > 0)
		buf_printf(buf, " %" PRId64 " %s", small, small_unit);
}

void human_duration_us(struct buf *buf, int64_t duration_us)
{
	int64_t ms = duration_us / 1000;

	if (duration_us < 0)
		buf_puts(buf, "?");
	else if (duration_us < 9950) /* 0.4 ms; from 10 ms on tenths are noise */
		buf_printf(buf, "%.1f ms", (double)duration_us / 1000);
	else if (ms < MS_PER_S)
		buf_printf(buf, "%" PRId64 " ms", (duration_us + 500) / 1000);
	else if (ms < 10 * MS_PER_S)
		buf_printf(buf, "%.1f s", (double)(ms / 100) / 10);
	else if (ms < 2 * MS_PER_MIN)
		buf_printf(buf, "%" PRId64 " s", ms / MS_PER_S);
	else if (ms < MS_PER_H)
		buf_printf(buf, "%" PRId64 " min", ms / MS_PER_MIN);
	else if (ms < 2 * MS_PER_DAY)
		put_two(buf, ms / MS_PER_H, "h", ms % MS_PER_H / MS_PER_MIN, "min");
	else
		put_two(buf, ms / MS_PER_DAY, "d", ms % MS_PER_DAY / MS_PER_H, "h");
}

void human_duration_ms(struct buf *buf, int64_t duration_ms)
{
	if (duration_ms > INT64_MAX / 1000)
		duration_ms = INT64_MAX / 1000;
	human_duration_us(buf, duration_ms < 0 ? -1 : duration_ms * 1000);
}

void human_seconds(struct buf *buf, int64_t duration_ms)
{
	if (duration_ms < 10 * MS_PER_S)
		buf_printf(buf, "%" PRId64 " s", duration_ms > 0 ? duration_ms / MS_PER_S : 0);
	else
		human_duration_ms(buf, duration_ms);
}

void human_age(struct buf *buf, int64_t then_ms, int64_t now_ms)
{
	static const struct {
		int64_t below_ms;
		int64_t unit_ms;
		char letter;
	} steps[] = {
		{ MS_PER_MIN, MS_PER_S, 's' },
		{ MS_PER_H, MS_PER_MIN, 'm' },
		{ 2 * MS_PER_DAY, MS_PER_H, 'h' },
		{ INT64_MAX, MS_PER_DAY, 'd' },
	};
	int64_t age_ms = now_ms - then_ms;
	size_t i = 0;

	if (age_ms < MS_PER_S) { /* a moment in the future is the other machine's clock */
		buf_puts(buf, "now");
		return;
	}
	while (age_ms >= steps[i].below_ms)
		i++;
	buf_printf(buf, "%" PRId64 "%c ago", age_ms / steps[i].unit_ms, steps[i].letter);
}

static void put_time(struct buf *buf, int64_t time_ms, const char *format)
{
	time_t seconds = (time_t)(time_ms / MS_PER_S);
	char text[32];
	struct tm broken;

	if (!localtime_r(&seconds, &broken) || strftime(text, sizeof(text), format, &broken) == 0)
		buf_printf(buf, "@%" PRId64, time_ms / MS_PER_S); /* a year beyond int: still the truth */
	else
		buf_puts(buf, text);
}

void human_time(struct buf *buf, int64_t time_ms)
{
	put_time(buf, time_ms, "%Y-%m-%d %H:%M:%S");
}

void human_clock(struct buf *buf, int64_t time_ms, int64_t now_ms)
{
	int64_t age_ms = now_ms - time_ms;

	put_time(buf, time_ms, age_ms < 20 * MS_PER_H && age_ms > -MS_PER_H ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S");
}

void human_since(struct buf *buf, int64_t then_ms, int64_t now_ms)
{
	buf_puts(buf, "since ");
	human_clock(buf, then_ms, now_ms);
	buf_puts(buf, " (");
	human_seconds(buf, now_ms - then_ms);
	buf_puts(buf, ")");
}

void human_bytes(struct buf *buf, int64_t bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1000;
		unit++;
	}
	buf_printf(buf, unit > 0 && value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}
