/*
 * human: numbers as people say them. "612 ms", "0.4 ms", "12 min", "3m ago", "14:03:22", "1.5 MB".
 * Pure: now is given. Times are milliseconds since 1970 UTC, shown in the local time zone.
 */
#ifndef JAGA_COLLECTOR_CLI_HUMAN_H
#define JAGA_COLLECTOR_CLI_HUMAN_H

#include <stdint.h>

#include "common/buf.h"

/* "0.4 ms" "612 ms" "2.3 s" "12 min" "3 h 5 min" "2 d 4 h" */
void human_duration_us(struct buf *buf, int64_t duration_us);
void human_duration_ms(struct buf *buf, int64_t duration_ms);
void human_seconds(struct buf *buf, int64_t duration_ms); /* the same in whole seconds: "0 s" "2 s" "12 min" */
void human_age(struct buf *buf, int64_t then_ms, int64_t now_ms);   /* "now" "40s ago" "3m ago" "5h ago" "2d ago" */
void human_time(struct buf *buf, int64_t time_ms);		    /* "2025-11-20 14:03:22" */
void human_clock(struct buf *buf, int64_t time_ms, int64_t now_ms); /* "14:03:22", with the date when older than 20 h */
void human_since(struct buf *buf, int64_t then_ms, int64_t now_ms); /* "since 14:03:22 (12 min)" */
void human_bytes(struct buf *buf, int64_t bytes);		    /* "800 B" "1.5 kB" "12 MB": powers of 1000 */

#endif
