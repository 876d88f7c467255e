/*
 * routeros_doctor: names every trap that can be seen on this router, with the command that mends it, and changes nothing.
 *
 *   check() -> one print after the other, rows -> facts -> every check, told -> on_done
 *
 * It reads what the plan does not need, and reads it when somebody asks: before a take-over, by `jaga-agent --check` and by
 * `jaga doctor`. When the session is lost it begins anew in the next one; nothing has been told by then. A FATAL trap is
 * one in which the plan would break what works, or could not work itself; a WARNING hurts some day. A menu that this
 * version or this board has not is empty; one that the router refuses to show is told. See routeros_doctor.h.
 */
#include "agent/router/routeros_doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/router/ros_script.h"

/* --- telling ------------------------------------------------------------------------------------------- */

void ros_trap(struct ros_doctor *doctor, enum router_trap_level level, const char *id, const char *fix, const char *format, ...)
{
	char what[LIMIT_ERR_TEXT];
	struct router_trap trap = { .level = level, .id = id, .what = what, .fix = fix };
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	for (char *at = what; *at != '\0'; at++)
		*at = (unsigned char)*at < ' ' || *at == 0x7f ? '?' : *at;
	if (level > doctor->worst)
		doctor->worst = level;
	doctor->n_found += level != ROUTER_TRAP_OK;
	doctor->on_trap(doctor->arg, &trap);
}

void ros_fix_init(struct ros_fix *fix)
{
	buf_init(&fix->buf, fix->text, sizeof(fix->text));
}

bool ros_fix_add(struct ros_fix *fix, const char *format, ...)
{
	char command[LIMIT_ERR_TEXT];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (length >= (int)sizeof(command))
		return false; /* half a command is worse than none */
	buf_printf(&fix->buf, "%s%s", fix->buf.length > 0 ? "; " : "", command);
	return !fix->buf.failed;
}

const char *ros_quote(struct ros_quoted *quoted, const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	struct buf buf;

	buf_init(&buf, quoted->text, sizeof(quoted->text));
	if (name[0] != '\0' && name[strspn(name, plain)] == '\0')
		buf_puts(&buf, name);
	else
		ros_put_quoted(&buf, name, strlen(name));
	return quoted->text;
}

/* Levenshtein's, of names that fit: others are far apart. */
unsigned ros_text_distance(const char *a, const char *b)
{
	size_t length_a = strlen(a), length_b = strlen(b);
	unsigned row[LIMIT_ROS_NAME + 1];

	if (length_a > LIMIT_ROS_NAME || length_b > LIMIT_ROS_NAME)
		return LIMIT_ROS_NAME;
	for (unsigned j = 0; j <= length_b; j++)
		row[j] = j;
	for (unsigned i = 1; i <= length_a; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= length_b; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
			row[j] = change < row[j] ? change : row[j];
		}
	}
	return row[length_b];
}

/* --- all checks ------------------------------------------------------------------------------------------ */

static const struct {
	const char *id;
	const char *fine; /* what is said when nothing was found; NULL: the check says it itself */
	ros_check_fn *run;
} checks[] = {
	{ "version", NULL, ros_check_version },
	{ "interface", "the interfaces of the configuration are there", ros_check_interfaces },
	{ "source", "each line has an address here from which it is probed", ros_check_sources },
	{ "default-route", "no default route fights", ros_check_defaults },
	{ "subnet", "every line has a network of its own", ros_check_subnets },
	{ "fib", "every routing table moves packets", ros_check_fib },
	{ "lookup", "no routing rule falls through to main", ros_check_lookup },
	{ "rp-filter", "reverse path filters let answers in", ros_check_rp_filter },
	{ "mss", "segment sizes fit the lines", ros_check_mss },
	{ "fasttrack", "FastTrack leaves marked connections alone", ros_check_fasttrack },
	{ "local", "the router itself stays reachable", ros_check_local },
	{ "hotspot", "hotspot users can log in", ros_check_hotspot },
	{ "marks", "marks and routes of others fit together", ros_check_marks },
	{ "pcc", "classes of others are whole", ros_check_pcc },
	{ "bypass", "others let every network inside by", ros_check_bypass },
	{ ROUTER_TRAP_OTHER_AGENT, NULL, ros_check_other_agent },
	{ "balancer", "nobody else balances the lines", ros_check_balancer },
	{ "connection-mark", "nobody else marks what the plan marks", ros_check_shared_marks },
	{ "ipv6", "no IPv6 leaves by chance", ros_check_ipv6 },
	{ "connections", "the connection table has room", ros_check_connections },
	{ "device-mode", "the device-mode forbids nothing that is needed", ros_check_device_mode },
	{ "flash", "flash has room", ros_check_flash },
	{ "offload", "bridges forward in hardware as far as they can", ros_check_offload },
	{ "veth", "containers reach the router", ros_check_veth },
};

enum router_trap_level ros_examine(const struct ros_facts *facts, router_trap_fn *on_trap, void *arg)
{
	struct ros_doctor doctor = { .facts = facts, .on_trap = on_trap, .arg = arg, .worst = ROUTER_TRAP_OK };

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		unsigned before = doctor.n_found;

		checks[i].run(&doctor);
		if (doctor.n_found == before && checks[i].fine)
			ros_trap(&doctor, ROUTER_TRAP_OK, checks[i].id, "", "%s", checks[i].fine);
	}
	return doctor.worst;
}

/* --- prints, in the order that the facts need -------------------------------------------------------------- */

struct look {
	const char *path6, *path7; /* NULL: this version has none */
	const char *proplist;
	const char *query; /* words, a blank between two; NULL: all */
	ros_take_fn *take;
};

#define ROUTES "?dst-address=0.0.0.0/0 ?scope=10 ?#| "

static const struct look looks[] = {
	{ "/system/resource", "/system/resource", "version,free-hdd-space,total-hdd-space,architecture-name", NULL, ros_take_resource },
	{ NULL, "/system/device-mode", "scheduler,fetch,container", NULL, ros_take_device_mode },
	{ "/file", "/file", "name,size", NULL, ros_take_file },
	{ "/interface", "/interface", "name,type,mtu,actual-mtu,dynamic", NULL, ros_take_interface },
	{ "/interface/bridge", "/interface/bridge", "name,vlan-filtering,disabled", NULL, ros_take_bridge },
	{ "/interface/bridge/port", "/interface/bridge/port", "interface,bridge,hw,hw-offload,disabled", NULL, ros_take_port },
	{ "/interface/list/member", "/interface/list/member", "list,interface,disabled,comment", NULL, ros_take_member },
	{ "/ip/address", "/ip/address", "address,interface,disabled,invalid", NULL, ros_take_address },
	{ "/ip/dhcp-server", "/ip/dhcp-server", "interface,disabled", NULL, ros_take_server },
	{ "/ip/hotspot", "/ip/hotspot", "interface,disabled", NULL, ros_take_hotspot },
	{ "/ip/dhcp-client", "/ip/dhcp-client", ".id,interface,add-default-route,default-route-distance,disabled", NULL,
	  ros_take_dhcp_client },
	{ "/interface/pppoe-client", "/interface/pppoe-client", ".id,name,add-default-route,default-route-distance,disabled", NULL,
	  ros_take_pppoe_client },
	{ "/interface/l2tp-client", "/interface/l2tp-client", ".id,name,add-default-route,default-route-distance,disabled", NULL,
	  ros_take_l2tp_client },
	{ "/ip/settings", "/ip/settings", "rp-filter", NULL, ros_take_settings },
	{ "/ip/firewall/connection/tracking", "/ip/firewall/connection/tracking", "total-entries,max-entries", NULL, ros_take_tracking },
	{ "/ip/firewall/filter", "/ip/firewall/filter", ".id,chain,action,connection-mark,in-interface-list,comment,disabled,dynamic",
	  "?action=fasttrack-connection ?chain=input ?#|", ros_take_filter },
	{ "/ip/firewall/nat", "/ip/firewall/nat", "action,out-interface,out-interface-list,comment,disabled", "?chain=srcnat",
	  ros_take_nat },
	{ "/ip/firewall/address-list", "/ip/firewall/address-list", "list,comment,dynamic", "?list=" ROS_LEASE_LIST, ros_take_lease },
	{ "/ip/firewall/mangle", "/ip/firewall/mangle",
	  ".id,chain,action,in-interface,in-interface-list,src-address,src-address-list,dst-address,dst-address-list,dst-address-type,"
	  "dst-port,src-port,limit,connection-mark,new-connection-mark,new-routing-mark,per-connection-classifier,hotspot,protocol,"
	  "out-interface,out-interface-list,comment,disabled,dynamic,invalid",
	  NULL, ros_take_mangle },
	{ NULL, "/routing/table", ".id,name,fib,comment,disabled,dynamic", NULL, ros_take_table },
	{ "/ip/route", NULL, ".id,dst-address,gateway,distance,routing-mark,comment,disabled,dynamic",
	  ROUTES "?routing-mark ?#|", ros_take_route },
	{ NULL, "/ip/route", ".id,dst-address,gateway,distance,routing-table,comment,disabled,dynamic",
	  ROUTES "?routing-table=main ?#! ?#|", ros_take_route },
	{ "/ip/route/rule", "/routing/rule", ".id,src-address,routing-mark,action,table,comment,disabled", NULL, ros_take_rule },
	{ "/ipv6/settings", "/ipv6/settings", "disable-ipv6,forward", NULL, ros_take_settings6 },
	{ "/ipv6/address", "/ipv6/address", "address,interface,comment,disabled", NULL, ros_take_address6 },
	{ "/ipv6/route", "/ipv6/route", "dst-address,gateway,comment,disabled", "?dst-address=::/0", ros_take_route6 },
};
#define N_LOOKS (sizeof(looks) / sizeof(looks[0]))

struct routeros_doctor_job {
	struct router *router;
	router_trap_fn *on_trap;
	router_check_fn *on_done;
	void *arg;
	unsigned looking; /* at which of looks */
	struct ros_facts facts;
};

static uint32_t uplinks_without_gateway(const struct router *router)
{
	uint32_t without = 0;

	for (unsigned i = 0; i < router->config->n_uplinks; i++)
		if (router->model.uplinks[i].gateway[0] == '\0' && router->model.uplinks[i].last_gateway[0] == '\0')
			without |= 1u << i;
	return without;
}

static bool is_of_this_machine(const struct parse_address *address)
{
	struct sockaddr_storage name;
	socklen_t length = parse_address_to_sockaddr(address, &name);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_ours = fd < 0 || bind(fd, (const struct sockaddr *)&name, length) == 0 || errno != EADDRNOTAVAIL;

	if (fd >= 0)
		close(fd);
	return is_ours;
}

static uint32_t uplinks_without_source(const struct agent_config *config)
{
	uint32_t without = 0;

	for (unsigned i = 0; i < config->n_uplinks; i++)
		if (config->uplinks[i].has_source && !is_of_this_machine(&config->uplinks[i].source))
			without |= 1u << i;
	return without;
}

static void finish(struct routeros_doctor_job *job, const struct err *error)
{
	enum router_trap_level worst = ROUTER_TRAP_OK;

	job->router->doctor_job = NULL; /* on_done may ask again */
	if (!error) {
		job->facts.without_gateway = uplinks_without_gateway(job->router);
		job->facts.without_source = uplinks_without_source(job->router->config);
		ros_facts_settle(&job->facts);
		worst = ros_examine(&job->facts, job->on_trap, job->arg);
	}
	job->on_done(job->arg, worst, error);
	free(job);
}

static int on_row(void *arg, const struct ros_sentence *row)
{
	struct routeros_doctor_job *job = arg;

	looks[job->looking].take(&job->facts, row);
	return 0;
}

static void look_on(struct routeros_doctor_job *job);

static void note_unread(struct routeros_doctor_job *job, const struct err *err)
{
	struct ros_facts *facts = &job->facts;
	const struct look *look = &looks[job->looking];

	if (strstr(err->text, "no such command")) /* a package that is not installed, a board without that hardware */
		return;
	if (facts->n_unread++ == 0)
		snprintf(facts->unread, sizeof(facts->unread), "%s: %.200s", facts->major < 7 ? look->path6 : look->path7, err->text);
}

static void on_look_end(void *arg, const struct ros_result *result)
{
	struct routeros_doctor_job *job = arg;

	if (ros_result_is_lost(result))
		return; /* anew in the next session; close frees it */
	if (result->status < 0)
		note_unread(job, &result->err);
	job->looking++;
	look_on(job);
}

/* Also a route to each network that is let by: whoever has one means it. */
static void put_queries(struct routeros_doctor_job *job, struct buf *out)
{
	const struct look *look = &looks[job->looking];
	char words[LIMIT_ROS_QUERY_BYTES] = "", *word, *rest = words;
	struct buf queries;

	buf_init(&queries, words, sizeof(words));
	buf_puts(&queries, look->query ? look->query : "");
	for (unsigned i = 0; look->take == ros_take_route && i < job->facts.n_bypasses; i++)
		buf_printf(&queries, " ?dst-address=%s ?#|", job->facts.bypasses[i].text);
	while ((word = strtok_r(rest, " ", &rest)))
		ros_put_word(out, word);
}

static int send_look(struct routeros_doctor_job *job, const char *path, struct err *err)
{
	static const struct ros_answer answer = { .on_re = on_row, .on_end = on_look_end };
	const struct look *look = &looks[job->looking];
	char whole[LIMIT_ROS_PATH];
	struct buf *out;

	snprintf(whole, sizeof(whole), "%s/print", path);
	out = ros_api_begin(job->router->api, whole);
	ros_put_text(out, ".proplist", look->proplist);
	put_queries(job, out);
	return ros_api_send(job->router->api, LIMIT_ROS_PRINT_MS, &answer, job, NULL, err);
}

static void look_on(struct routeros_doctor_job *job)
{
	const char *path = NULL;
	struct err err = { "" };
	int r;

	for (; job->looking < N_LOOKS && !path; job->looking += path ? 0 : 1)
		path = job->facts.major < 7 ? looks[job->looking].path6 : looks[job->looking].path7;
	if (!path) {
		finish(job, NULL);
		return;
	}
	r = send_look(job, path, &err);
	if (r < 0 && r != -ENOTCONN) /* not connected: anew in the next session */
		finish(job, &err);
}

void routeros_doctor_begin(struct router *router)
{
	struct routeros_doctor_job *job = router->doctor_job;

	if (!job)
		return;
	job->looking = 0;
	memset(&job->facts, 0, sizeof(job->facts));
	job->facts.config = router->config;
	job->facts.agent = &router->claim.lease.self;
	look_on(job);
}

int routeros_check(struct router *router, router_trap_fn *on_trap, router_check_fn *on_done, void *arg, struct err *err)
{
	struct routeros_doctor_job *job;

	if (router->doctor_job)
		return err_set(err, -EBUSY, "somebody else is looking already");
	if (!ros_api_is_open(router->api))
		return err_set(err, -ENOTCONN, "the router cannot be reached");
	job = calloc(1, sizeof(*job));
	if (!job)
		return err_sys(err, -ENOMEM, "cannot check");
	*job = (struct routeros_doctor_job){ .router = router, .on_trap = on_trap, .on_done = on_done, .arg = arg };
	router->doctor_job = job;
	routeros_doctor_begin(router);
	return 0;
}

/* Answers that were on their way have been ended with the session. */
void routeros_doctor_close(struct router *router)
{
	free(router->doctor_job);
	router->doctor_job = NULL;
}
