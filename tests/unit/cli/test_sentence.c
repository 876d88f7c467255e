/* sentence: events as people read them, with and without each piece of evidence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/cli/sentence.h"

#define DOWN "'kind':'uplink','uplink':'isp1','from':'up','to':'down','text':'t'"
#define UP "'kind':'uplink','uplink':'isp1','from':'down','to':'up','lasted_ms':180000,'text':'t'"

static json_t *load(const char *text)
{
	char json[1024];
	json_t *row;
	size_t i;

	for (i = 0; text[i] != '\0' && i + 1 < sizeof(json); i++)
		json[i] = text[i] == '\'' ? '"' : text[i];
	json[i] = '\0';
	row = json_loads(json, 0, NULL);
	assert_non_null(row);
	return row;
}

static void test_events(void **state)
{
	static const struct {
		const char *row, *sentence;
	} cases[] = {
		{ "{" DOWN ",'cause':'probes','misses':5,'misses_needed':5,'detect_us':612345,'switch_us':412,'flows_moved':37,"
		  "'carried_by':'isp2','lasted_ms':1000,'probes':[{'target':'203.0.113.1','sent':5,'lost':5},"
		  "{'target':'203.0.113.2','sent':5,'lost':5}]}",
		  "isp1 DOWN: probes lost 5/5 (203.0.113.1 5/5, 203.0.113.2 5/5), detected in 612 ms, switched in 0.4 ms, "
		  "37 flows moved to isp2" },
		{ "{" DOWN ",'cause':'probes'}", "isp1 DOWN: probes lost" },
		{ "{" DOWN ",'cause':'carrier','switch_us':300,'flows_moved':1,'carried_by':'isp2'}",
		  "isp1 DOWN: carrier lost, switched in 0.3 ms, 1 flow moved to isp2" },
		{ "{" DOWN ",'cause':'forced','carried_by':'isp2'}",
		  "isp1 DOWN: forced by an operator, isp2 carries its traffic" },
		{ "{" DOWN ",'cause':'of the future'}", "isp1 DOWN" },
		{ "{" DOWN "}", "isp1 DOWN" },
		{ "{" UP ",'cause':'recovered','carried_by':'isp1'}", "isp1 UP: replies came back after 3 min down" },
		{ "{" UP ",'cause':'force-ended'}", "isp1 UP: the operator's order ended after 3 min down" },
		{ "{'kind':'uplink','uplink':'isp1','from':'unknown','to':'up','cause':'start','lasted_ms':900}",
		  "isp1 UP: first verdict after the start" },
		{ "{'kind':'uplink','uplink':'isp1','from':'up','to':'suspect','cause':'probes','misses':3,'misses_needed':3}",
		  "isp1 suspect: probes lost 3/3" },
		{ "{'kind':'uplink','uplink':'isp1','from':'up','to':'suspect','cause':'probes','misses':3,'misses_needed':5,"
		  "'flows_moved':2,'carried_by':'isp1'}",
		  "isp1 suspect: probes lost 3/5, 2 unanswered flows to start anew" },
		{ "{'kind':'uplink','text':'no state here'}", "no state here" },
		{ "{'kind':'started','text':'agent 0.1.0 started'}", "agent 0.1.0 started" },
		{ "{'kind':'online','text':'192.0.2.2:40123'}", "online from 192.0.2.2:40123" },
		{ "{'kind':'offline','text':'silent for 60 s'}", "OFFLINE: silent for 60 s" },
		{ "{'kind':'offline'}", "OFFLINE" },
		{ "{'kind':'notice'}", "notice" },
		{ "{}", "?" },
		{ "{'kind':5,'text':[],'probes':7}", "?" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *row = load(cases[i].row);
		char memory[1024];
		struct buf buf;

		buf_init(&buf, memory, sizeof(memory));
		sentence_of_event(row, 0, &buf);
		assert_string_equal(memory, cases[i].sentence);
		json_decref(row);
	}
}

static void test_uplinks(void **state)
{
	json_t *row = load("{'uplinks':[{'name':'isp1','state':'down'},{'name':'isp2','state':'up'},{'name':'lte'}]}");
	json_t *none = load("{}");
	char memory[128];
	struct buf buf;

	(void)state;
	buf_init(&buf, memory, sizeof(memory));
	sentence_of_uplinks(row, 0, &buf);
	assert_string_equal(memory, "isp1 DOWN, isp2 up, lte ?");
	assert_int_equal(sentence_paint_uplinks(row), PAINT_BAD);
	buf_clear(&buf);
	sentence_of_uplinks(none, 0, &buf);
	assert_string_equal(memory, "");
	assert_int_equal(sentence_paint_uplinks(none), PAINT_NONE);
	json_decref(none);
	buf_clear(&buf);
	none = load("{'watches':true,'uplinks':[{'name':'isp1','state':'unknown'}]}");
	sentence_of_uplinks(none, 0, &buf);
	assert_string_equal(memory, "watches");
	json_decref(row);
	json_decref(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_uplinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
