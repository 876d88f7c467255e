/*
 * linux_sysctl: the few kernel settings without which two uplinks do not work, on uplinks only:
 *   rp_filter 2 where it is strict            answers arrive on the line that main would not use
 *   ignore_routes_with_linkdown 1             else Linux goes on using routes through a line without carrier
 *
 * Before a value is changed, the old one is written to <state_dir>/sysctls (a line "path value" each,
 * replaced atomically), so that removal restores it even after a crash or a reboot of the agent. A value
 * that is saved already is not saved again: the first one is the owner's.
 *
 * Callers: linux.c, linux_event.c (an interface that came back has its defaults again).
 */
#include "agent/router/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/parse.h"

#define PATH_BYTES (64 + IFNAMSIZ)

struct saved {
	unsigned n;
	struct {
		char path[PATH_BYTES]; /* below /proc/sys */
		uint32_t value;
	} list[LIMIT_SAVED_SYSCTLS];
};

static int sysctl_open(const char *path, int flags)
{
	char full[PATH_BYTES + 16];
	int fd;

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int linux_sysctl_read(const char *path, uint32_t *ret_value)
{
	char text[16];
	int fd = sysctl_open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	text[n] = '\0';
	text[strcspn(text, "\n\t ")] = '\0';
	return parse_u32(text, 0, UINT32_MAX, ret_value);
}

static int sysctl_write(const char *path, uint32_t value)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u\n", value);
	int fd = sysctl_open(path, O_WRONLY);
	int ret = 0;

	if (fd < 0)
		return fd;
	if (write(fd, text, (size_t)length) != length)
		ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
}

/* --- what was saved --- */

static void saved_path(const struct router *router, const char *suffix, char *ret_path, size_t size)
{
	snprintf(ret_path, size, "%s/sysctls%s", router->config->state_dir, suffix);
}

static bool is_ours(const char *path)
{
	return (strncmp(path, "net/ipv4/conf/", 14) == 0 || strncmp(path, "net/ipv6/conf/", 14) == 0) &&
	       !strstr(path, "..");
}

static int saved_read(const struct router *router, struct saved *ret_saved)
{
	char name[LIMIT_PATH + 16], line[PATH_BYTES + 16], *space;
	FILE *file;
	int ret = 0;

	ret_saved->n = 0;
	saved_path(router, "", name, sizeof(name));
	file = fopen(name, "re");
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while (ret == 0 && fgets(line, sizeof(line), file)) {
		uint32_t value;

		line[strcspn(line, "\n")] = '\0';
		space = strchr(line, ' ');
		if (space)
			*space = '\0';
		if (!space || space - line >= PATH_BYTES || !is_ours(line) || parse_u32(space + 1, 0, UINT32_MAX, &value) < 0 ||
		    ret_saved->n >= LIMIT_SAVED_SYSCTLS) {
			ret = -EBADMSG;
			break;
		}
		memcpy(ret_saved->list[ret_saved->n].path, line, (size_t)(space - line) + 1);
		ret_saved->list[ret_saved->n++].value = value;
	}
	fclose(file);
	return ret;
}

static int saved_write(const struct router *router, const struct saved *saved)
{
	char name[LIMIT_PATH + 16], temporary[LIMIT_PATH + 16];
	FILE *file;
	int ret = 0;

	if (mkdir(router->config->state_dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	saved_path(router, "", name, sizeof(name));
	saved_path(router, ".new", temporary, sizeof(temporary));
	file = fopen(temporary, "we");
	if (!file)
		return -errno;
	for (unsigned i = 0; i < saved->n; i++)
		fprintf(file, "%s %u\n", saved->list[i].path, saved->list[i].value);
	if (fflush(file) != 0 || ferror(file) || fsync(fileno(file)) < 0)
		ret = errno ? -errno : -EIO;
	fclose(file);
	if (ret == 0 && rename(temporary, name) < 0)
		ret = -errno;
	if (ret < 0)
		unlink(temporary);
	return ret;
}

static bool is_saved(const struct saved *saved, const char *path)
{
	for (unsigned i = 0; i < saved->n; i++) {
		if (strcmp(saved->list[i].path, path) == 0)
			return true;
	}
	return false;
}

/* --- setting --- */

/* Changes one setting, saved first. -ENOENT (no such interface or kernel feature) is fine. */
static int set(struct router *router, struct saved *saved, const char *path, uint32_t value)
{
	uint32_t old;
	int ret = linux_sysctl_read(path, &old);

	if (ret == -ENOENT || (ret == 0 && old == value))
		return 0;
	if (ret < 0)
		return ret;
	if (!is_saved(saved, path)) {
		if (saved->n >= LIMIT_SAVED_SYSCTLS)
			return -ENOSPC;
		snprintf(saved->list[saved->n].path, PATH_BYTES, "%s", path);
		saved->list[saved->n++].value = old;
		ret = saved_write(router, saved);
		if (ret < 0)
			return ret;
	}
	ret = sysctl_write(path, value);
	return ret == -ENOENT ? 0 : ret;
}

static int set_rp_filter(struct router *router, struct saved *saved, const char *interface)
{
	char path[PATH_BYTES];
	uint32_t all = 0, own = 0;

	snprintf(path, sizeof(path), "net/ipv4/conf/%s/rp_filter", interface);
	if (linux_sysctl_read("net/ipv4/conf/all/rp_filter", &all) < 0 || linux_sysctl_read(path, &own) < 0)
		return 0; /* no such interface now */
	return (all > own ? all : own) == 1 ? set(router, saved, path, 2) : 0;
}

int linux_sysctls_set(struct router *router, struct err *err)
{
	static const char *const linkdown[] = {
		"net/ipv4/conf/%s/ignore_routes_with_linkdown",
		"net/ipv6/conf/%s/ignore_routes_with_linkdown",
	};
	struct saved saved;
	char path[PATH_BYTES];
	int ret = saved_read(router, &saved);

	if (ret < 0)
		return err_sys(err, ret, "reading %s/sysctls", router->config->state_dir);
	for (unsigned i = 0; i < router->config->n_uplinks; i++) {
		const char *interface = router->config->uplinks[i].interface;

		ret = set_rp_filter(router, &saved, interface);
		if (ret < 0)
			return err_sys(err, ret, "setting rp_filter of %s", interface);
		for (unsigned f = 0; f < LINUX_FAMILIES; f++) {
			snprintf(path, sizeof(path), f == LINUX_V4 ? linkdown[0] : linkdown[1], interface);
			ret = set(router, &saved, path, 1);
			if (ret < 0)
				return err_sys(err, ret, "setting %s", path);
		}
	}
	return 0;
}

int linux_sysctls_restore(struct router *router, struct err *err)
{
	char name[LIMIT_PATH + 16];
	struct saved saved;
	int ret = saved_read(router, &saved);

	if (ret < 0)
		return err_sys(err, ret, "reading %s/sysctls", router->config->state_dir);
	for (unsigned i = 0; i < saved.n; i++) {
		ret = sysctl_write(saved.list[i].path, saved.list[i].value);
		if (ret < 0 && ret != -ENOENT) /* the interface is gone, and its settings with it */
			return err_sys(err, ret, "restoring %s", saved.list[i].path);
	}
	saved_path(router, "", name, sizeof(name));
	if (unlink(name) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "deleting %s", name);
	return 0;
}
