/*
 * routeros_monitor_row: what a row of a watched menu says, for ros_watch. RouterOS 6 and 7 name some attributes
 * differently; a row of either is understood. Values are what users, neighbours and routers choose: nothing is trusted but
 * its length, and what is not understood is not said. Pure. Called by routeros_monitor.c, and by unit tests.
 */
#include "agent/router/routeros_monitor.h"

#include <stdio.h>
#include <string.h>

#include "agent/router/ros_row.h"
#include "common/parse.h"

static uint32_t small_number_of(const struct ros_sentence *row, const char *key)
{
	uint64_t number = ros_row_number(row, key);

	return number > UINT32_MAX ? 0 : (uint32_t)number;
}

int routeros_read_id(const struct ros_sentence *row, uint32_t *ret_id)
{
	const char *text = ros_row_text(row, ".id");
	char hex[LIMIT_ROS_ID + 2];

	if (text[0] != '*' || snprintf(hex, sizeof(hex), "0x%s", text + 1) >= (int)sizeof(hex))
		return -1;
	return parse_u32(hex, 0, UINT32_MAX, ret_id);
}

int64_t routeros_uptime_s(const char *text)
{
	int64_t total_s = 0, clock = 0;
	uint32_t number;

	if (text[0] == '\0')
		return -1;
	while (text[0] != '\0') {
		if (parse_leading_u32(&text, &number) < 0 || total_s + clock > LIMIT_WATCH_UPTIME_S)
			return -1;
		if (text[0] != '\0' && text[1] == 's') { /* ms, us */
			text += 2;
			continue;
		}
		switch (text[0]) {
		case 'w':
			total_s += 7 * 86400 * (int64_t)number;
			break;
		case 'd':
			total_s += 86400 * (int64_t)number;
			break;
		case 'h':
			total_s += 3600 * (int64_t)number;
			break;
		case 'm':
			total_s += 60 * (int64_t)number;
			break;
		case 's':
			total_s += number;
			break;
		case ':': /* hours:minutes:seconds */
			clock = (clock + number) * 60;
			break;
		case '\0':
			total_s += clock + number;
			continue;
		default:
			return -1;
		}
		text++;
	}
	return total_s <= LIMIT_WATCH_UPTIME_S ? total_s : -1;
}

/* --- one function a menu ------------------------------------------------------------------------------- */

static void read_ppp(const struct ros_sentence *row, struct ros_seen *seen)
{
	seen->name = ros_find(row, "name");
	seen->state = ROUTER_STATE_UP;
	seen->address = ros_row_text(row, "address");
	seen->caller = ros_row_text(row, "caller-id");
	seen->detail = ros_row_text(row, "service");
	seen->lasted_s = routeros_uptime_s(ros_row_text(row, "uptime"));
}

static void read_hotspot(const struct ros_sentence *row, struct ros_seen *seen)
{
	seen->name = ros_find(row, "user");
	seen->caller = ros_row_text(row, "mac-address");
	if (seen->name && seen->name[0] == '\0')
		seen->name = seen->caller; /* let in without a name */
	seen->state = ROUTER_STATE_UP;
	seen->address = ros_row_text(row, "address");
	seen->detail = ros_row_text(row, "login-by");
	seen->lasted_s = routeros_uptime_s(ros_row_text(row, "uptime"));
}

static void read_ospf(const struct ros_sentence *row, struct ros_seen *seen)
{
	const char *state = ros_find(row, "state");

	seen->name = ros_find(row, "router-id");
	seen->address = ros_row_text(row, "address");
	seen->detail = ros_row_text(row, "state");
	if (!state)
		return;
	if (strncmp(state, "Full", 4) == 0)
		seen->state = ROUTER_STATE_UP;
	else if (strcmp(state, "2-Way") != 0 && strcmp(state, "TwoWay") != 0) /* these two are at rest: neither is the DR */
		seen->state = ROUTER_STATE_DOWN;
	if (seen->state == ROUTER_STATE_UP)
		seen->lasted_s = routeros_uptime_s(ros_row_text(row, "adjacency"));
}

static void read_bgp(const struct ros_sentence *row, struct ros_seen *seen)
{
	const char *state = ros_row_text(row, "state");
	bool is_seven = ros_find(row, "remote.address") != NULL;

	seen->name = ros_find(row, "name");
	seen->address = is_seven ? ros_row_text(row, "remote.address") : ros_row_text(row, "remote-address");
	seen->detail = state;
	if (!seen->name)
		return;
	seen->state = ros_row_is(row, "established") || strcmp(state, "established") == 0 ? ROUTER_STATE_UP : ROUTER_STATE_DOWN;
	if (seen->state == ROUTER_STATE_UP)
		seen->lasted_s = routeros_uptime_s(ros_row_text(row, "uptime"));
	seen->has_peer = true;
	seen->remote_as = small_number_of(row, is_seven ? "remote.as" : "remote-as");
	seen->prefixes = small_number_of(row, "prefix-count");
}

static void read_running(const struct ros_sentence *row, struct ros_seen *seen)
{
	seen->name = ros_find(row, "name");
	if (ros_find(row, "running"))
		seen->state = ros_row_is(row, "running") ? ROUTER_STATE_UP : ROUTER_STATE_DOWN;
}

static void read_l2tp(const struct ros_sentence *row, struct ros_seen *seen)
{
	read_running(row, seen);
	seen->address = ros_row_text(row, "connect-to");
}

static void read_interface(const struct ros_sentence *row, struct ros_seen *seen)
{
	read_running(row, seen);
	seen->has_counters = ros_find(row, "rx-byte") && ros_find(row, "tx-byte");
	seen->rx_bytes = ros_row_number(row, "rx-byte");
	seen->tx_bytes = ros_row_number(row, "tx-byte");
	seen->has_link_downs = ros_find(row, "link-downs") != NULL;
	seen->link_downs = small_number_of(row, "link-downs");
}

static void read_netwatch(const struct ros_sentence *row, struct ros_seen *seen)
{
	const char *status = ros_row_text(row, "status"), *comment = ros_row_text(row, "comment");

	seen->name = comment[0] != '\0' ? comment : ros_find(row, "host");
	seen->address = ros_row_text(row, "host");
	if (strcmp(status, "up") == 0)
		seen->state = ROUTER_STATE_UP;
	else if (strcmp(status, "down") == 0)
		seen->state = ROUTER_STATE_DOWN;
}

int routeros_read_row(enum router_watch watch, const struct ros_sentence *row, bool is_reading, struct ros_seen *ret_seen)
{
	static void (*const readers[ROUTER_WATCHES])(const struct ros_sentence *, struct ros_seen *) = {
		[ROUTER_WATCH_PPP] = read_ppp,	     [ROUTER_WATCH_HOTSPOT] = read_hotspot,
		[ROUTER_WATCH_OSPF] = read_ospf,     [ROUTER_WATCH_BGP] = read_bgp,
		[ROUTER_WATCH_L2TP] = read_l2tp,     [ROUTER_WATCH_INTERFACE] = read_interface,
		[ROUTER_WATCH_NETWATCH] = read_netwatch,
	};
	struct ros_seen seen = { .watch = watch, .is_reading = is_reading, .lasted_s = -1,
				 .address = "", .caller = "", .detail = "" };

	if (routeros_read_id(row, &seen.id) < 0)
		return -1;
	readers[watch](row, &seen);
	if (seen.name && seen.name[0] == '\0')
		seen.name = ros_row_text(row, ".id"); /* people may give things no name */
	seen.is_gone = ros_row_is(row, ".dead") || ros_row_is(row, "disabled");
	*ret_seen = seen;
	return 0;
}

/* --- modems and the router itself ------------------------------------------------------------------------ */

/* "-95", "-95dBm" */
static bool read_signal(const struct ros_sentence *row, const char *key, int32_t *ret_value)
{
	const char *text = ros_row_text(row, key);
	bool is_negative = text[0] == '-';
	uint32_t number;

	text += is_negative;
	if (parse_leading_u32(&text, &number) < 0 || number > INT16_MAX)
		return false;
	*ret_value = is_negative ? -(int32_t)number : (int32_t)number;
	return true;
}

void routeros_read_modem(const struct ros_sentence *row, struct routeros_modem *modem)
{
	static const char *const keys[] = { "rssi", "rsrp", "rsrq", "sinr" };
	const char *registration = ros_row_text(row, "registration-status"), *operator = ros_row_text(row, "current-operator");
	int32_t *const values[] = { &modem->rssi_dbm, &modem->rsrp_dbm, &modem->rsrq_db, &modem->sinr_db };

	modem->told = 0;
	for (unsigned i = 0; i < 4; i++)
		if (read_signal(row, keys[i], values[i]))
			modem->told |= 1u << i;
	snprintf(modem->carrier, sizeof(modem->carrier), "%.*s", LIMIT_WATCH_NAME - 1, operator);
	if (registration[0] != '\0') /* "registered", "roaming", "registered (roaming)" */
		modem->state = strncmp(registration, "registered", 10) == 0 || strcmp(registration, "roaming") == 0 ?
				       ROUTER_STATE_UP :
				       ROUTER_STATE_DOWN;
	else
		modem->state = operator[0] != '\0' ? ROUTER_STATE_UP : ROUTER_STATE_DOWN;
}

void routeros_read_resource(const struct ros_sentence *row, struct router_health *ret_health, char *ret_version, size_t size)
{
	const char *version = ros_row_text(row, "version");

	snprintf(ret_version, size, "%.*s", (int)strcspn(version, " "), version); /* "7.20.4 (stable)" */
	*ret_health = (struct router_health){
		.version = ret_version,
		.uptime_s = routeros_uptime_s(ros_row_text(row, "uptime")),
		.cpu_percent = small_number_of(row, "cpu-load"),
		.memory_free_bytes = ros_row_number(row, "free-memory"),
		.memory_bytes = ros_row_number(row, "total-memory"),
		.disk_free_bytes = ros_row_number(row, "free-hdd-space"),
		.disk_bytes = ros_row_number(row, "total-hdd-space"),
	};
}
