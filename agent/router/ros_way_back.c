/*
 * ros_way_back: see ros_way_back.h. Called by routeros_save.c.
 *
 * The entry goes by the uptime, not by the clock, which routers lose: less than when it was made means a power cut, after which
 * what is unchanged and what is not need not have reached the flash in this order. So then it goes back from either.
 * What the entry runs is made of two parts: what is known here, quoted; and what only the router knows, put before it there. Its
 * times are written as texts ("1w2d03:04:05") and read by :totime: that a script takes them as they stand is documented nowhere.
 */
#include "agent/router/ros_way_back.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/router/ros_script.h"
#include "common/limits.h"

#define NO_SCHEDULER "device-mode forbids the scheduler: /system device-mode update scheduler=yes"

/* A script on small ones is guarded without it. */
static void put_device_mode(struct buf *out, const struct ros_way_back *way)
{
	buf_puts(out, ":local alone false\n");
	if (!way->has_device_mode)
		return;
	buf_printf(out, ":if ([:tostr [/system device-mode get scheduler]] ~ \"no|false\") do={ %s }\n",
		   way->is_small ? ":set alone true" : ":error \"" NO_SCHEDULER "\"");
}

/*
 * What is not under flash/ is in memory, on boards that have it. A file is one when it has a size. An entry that somebody's safe
 * mode has brought back, after its file was removed, is of no use, and says so in the log only once.
 */
static void put_backup(struct buf *out, const struct ros_way_back *way)
{
	buf_printf(out,
		   ":local file \"%s\"\n"
		   ":if ([:len [/file find name=\"flash\"]] > 0) do={ :set file \"flash/%s\" }\n"
		   "/system backup save name=$file password=%s\n"
		   ":local size 0\n"
		   ":for i from=1 to=40 do={ :if ($size = 0) do={\n"
		   "  :if ([:len [/file find name=\"$file.backup\"]] > 0) do={ :set size [/file get [/file find name=\"$file.backup\"] size] }\n"
		   "  :if ($size = 0) do={ :delay 250ms }\n"
		   "} }\n"
		   ":if ($size = 0) do={ :error \"the backup has not become a file within 10 s\" }\n"
		   ":local load (\":if ([:len [/file find name=\\\"\" . $file . \".backup\\\"]] = 0) do={ /system scheduler disable [find name=\\\"%s\\\"] }\\r\\n"
		   "/system backup load password=%s name=\" . $file . \"\\r\\n\")\n",
		   way->name, way->name, way->password, way->name, way->password);
}

/* The mark stands in a line of its own: the author's last one may be a comment. */
static void put_rollback(struct buf *out, const struct ros_way_back *way)
{
	buf_puts(out, ":local load (");
	ros_put_quoted(out, way->rollback, way->rollback_length);
	buf_printf(out, " . \"\\r\\n/system scheduler set [find name=\\\"%s\\\"] disabled=yes comment=\\\"" ROS_WENT_BACK "\\\"\\r\\n\")\n",
		   way->name);
}

/* Up to the brace behind which $load stands. */
static void put_when(struct buf *out, const char *name)
{
	static const char when[] =
		":local jagaUp [/system resource get uptime]\r\n"
		":local jagaIs [/system scheduler get [find name=\"%s\"] comment]\r\n"
		":if (($jagaUp > $jagaEnd) && ($jagaIs = \"" ROS_UNCHANGED "\")) do={\r\n"
		"/system scheduler set [find name=\"%s\"] disabled=yes comment=\"" ROS_WENT_BACK "\"\r\n}\r\n"
		":if (($jagaUp < $jagaNow) || ($jagaIs = \"" ROS_GO_BACK "\") || (($jagaUp > $jagaEnd) && ($jagaIs != \"" ROS_UNCHANGED
		"\"))) do={\r\n";
	char text[sizeof(when) + 2 * (LIMIT_NAME + 8)];
	int length = snprintf(text, sizeof(text), when, name, name);

	buf_puts(out, ":local when ");
	ros_put_quoted(out, text, (size_t)length);
	buf_puts(out, "\n");
}

void ros_put_prepare(struct buf *out, const struct ros_way_back *way)
{
	const char *comment = way->is_small ? ROS_UNCHANGED : way->rollback ? ROS_ROLLBACK : ROS_WAY_BACK;

	put_device_mode(out, way);
	if (way->rollback)
		put_rollback(out, way);
	else
		put_backup(out, way);
	put_when(out, way->name);
	buf_printf(out,
		   ":local now [/system resource get uptime]\n"
		   ":if ($alone) do={\n"
		   "  /system script add name=\"%s\" comment=\"%s\" source=$load\n"
		   "  :put \"" ROS_ALONE "\"\n"
		   "} else={\n"
		   "  /system scheduler add name=\"%s\" comment=\"%s\" start-time=startup interval=10s "
		   "on-event=(\":local jagaNow [:totime \\\"\" . $now . \"\\\"];:local jagaEnd [:totime \\\"\" . ($now + %" PRIu32 "s) . \"\\\"]\\r\\n\" . "
		   "$when . $load . \"}\\r\\n\")\n"
		   "}\n",
		   way->name, comment, way->name, comment, way->wait_s);
}

void ros_put_mark(struct buf *out, const char *name)
{
	static const char *const menus[] = { "/system scheduler", "/system script" };

	for (size_t i = 0; i < sizeof(menus) / sizeof(menus[0]); i++)
		buf_printf(out, ":foreach i in=[%s find name=\"%s\"] do={ %s set $i comment=\"" ROS_WAY_BACK "\" }\n", menus[i], name, menus[i]);
}

void ros_put_remove(struct buf *out, const char *name)
{
	buf_printf(out,
		   "/file remove [find name=\"%s.backup\"]\n"
		   "/file remove [find name=\"flash/%s.backup\"]\n"
		   "/system scheduler remove [find name=\"%s\"]\n"
		   "/system script remove [find name=\"%s\"]\n",
		   name, name, name, name);
}

void ros_put_keep(struct buf *out, const char *name)
{
	buf_printf(out,
		   ":local is \"\"\n"
		   ":foreach i in=[/system scheduler find name=\"%s\"] do={ :set is [/system scheduler get $i comment] }\n"
		   ":foreach i in=[/system script find name=\"%s\"] do={ :set is [/system script get $i comment] }\n"
		   ":if (($is != \"" ROS_WAY_BACK "\") && ($is != \"" ROS_ROLLBACK "\")) do={ :error \"the router has gone back already\" }\n",
		   name, name);
	ros_put_remove(out, name);
}
