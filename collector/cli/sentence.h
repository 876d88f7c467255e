/*
 * sentence: what happened, as one readable sentence.
 */
#ifndef JAGA_COLLECTOR_CLI_SENTENCE_H
#define JAGA_COLLECTOR_CLI_SENTENCE_H

#include <jansson.h>

#include "collector/cli/render.h"

/*
 * Of a row of {"op":"events"}: "isp1 DOWN: probes lost 5/5 (203.0.113.1 5/5, 203.0.113.2 5/5), detected
 * in 612 ms, switched in 0.4 ms, 37 flows moved to isp2". Text of routers in it is not yet sanitised.
 * Has the signature of column.format; now_ms is not used.
 */
void sentence_of_event(const json_t *event, int64_t now_ms, struct buf *buf);
enum paint sentence_paint(const json_t *event);

/* "isp1 up, isp2 DOWN" of an array of {name,state}, the field "uplinks" of a device; "watches" when its agent steers nothing. */
void sentence_of_uplinks(const json_t *device, int64_t now_ms, struct buf *buf);
enum paint sentence_paint_uplinks(const json_t *device);

#endif
