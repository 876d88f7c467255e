/*
 * linux_sysctl: the few kernel settings without which two uplinks do not work, on uplinks only:
 *   rp_filter 2 where it is strict            answers arrive on the line that main would not use
 *   ignore_routes_with_linkdown 1             else Linux goes on using routes through a line without carrier
 *
 * Before a value is changed, the old one is written to <state_dir>/sysctls (a line "path value" each, replaced
 * atomically), so that removal restores it even after a crash of the agent. A value that is saved already is not
 * saved again: the first one is the owner's. Where nothing can be saved (flash that is full or read-only) values are
 * set all the same: without them a second line may carry nothing, and the old ones are back at the next boot.
 *
 * The settings die with the kernel, and what was saved means nothing to the next one: the first line of the file
 * names the boot, and a file of another boot counts as none. So the file need not survive a power cut: there is
 * no fsync, which would hold up the probes, and a file that a power cut has torn is of another boot, too.
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

#include "common/buf.h"
#include "common/file.h"
#include "common/parse.h"

#define PATH_BYTES (64 + IFNAMSIZ)
#define HEAD_BYTES 64
#define SAVED_BYTES (HEAD_BYTES + LIMIT_SAVED_SYSCTLS * (PATH_BYTES + 16))

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

static int sysctl_read_word(const char *path, char *ret_word, size_t size)
{
	int fd = sysctl_open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, ret_word, size - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	ret_word[n] = '\0';
	ret_word[strcspn(ret_word, "\n\t ")] = '\0';
	return 0;
}

int linux_sysctl_read(const char *path, uint32_t *ret_value)
{
	char text[16];
	int ret = sysctl_read_word(path, text, sizeof(text));

	return ret < 0 ? ret : parse_u32(text, 0, UINT32_MAX, ret_value);
}

static int sysctl_write(const char *path, uint32_t value)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u\n", value);
	int fd = sysctl_open(path, O_WRONLY);
	uint32_t now;
	int ret = 0;

	if (fd < 0)
		return fd;
	/* Linux 6.1 sets IPv6's ignore_routes_with_linkdown and tells that it took one byte: what is read then counts. */
	if (write(fd, text, (size_t)length) < 0)
		ret = -errno;
	else if (linux_sysctl_read(path, &now) < 0 || now != value)
		ret = -EIO;
	close(fd);
	return ret;
}

/* --- what was saved --- */

static void saved_path(const struct router *router, const char *suffix, char *ret_path, size_t size)
{
	snprintf(ret_path, size, "%s/sysctls%s", router->config->state_dir, suffix);
}

/* The first line: to which run of the kernel the values belong. */
static void saved_head(char ret_head[static HEAD_BYTES])
{
	char boot[40] = "unknown";

	(void)sysctl_read_word("kernel/random/boot_id", boot, sizeof(boot)); /* a kernel that tells none never does */
	snprintf(ret_head, HEAD_BYTES, "boot %s\n", boot);
}

static bool is_ours(const char *path)
{
	return (strncmp(path, "net/ipv4/conf/", 14) == 0 || strncmp(path, "net/ipv6/conf/", 14) == 0) &&
	       !strstr(path, "..");
}

/* The whole file as a string, read without stdio: that would allocate at each event of the kernel. */
static int saved_read_text(const struct router *router, char *ret_text, size_t size)
{
	char name[LIMIT_PATH + 16];
	size_t length = 0;
	ssize_t n = 1;
	int fd;

	saved_path(router, "", name, sizeof(name));
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (n > 0 && length < size) {
		n = read(fd, ret_text + length, size - length);
		length += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	if (n < 0 || length == size)
		return n < 0 ? -EIO : -EBADMSG;
	ret_text[length] = '\0';
	return 0;
}

static int saved_read(const struct router *router, struct saved *ret_saved)
{
	char text[SAVED_BYTES], head[HEAD_BYTES], *rest = text, *line;
	int ret = saved_read_text(router, text, sizeof(text));

	ret_saved->n = 0;
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	saved_head(head);
	if (strncmp(text, head, strlen(head)) != 0)
		return 0;
	rest += strlen(head);
	while ((line = strsep(&rest, "\n")) != NULL && (*line != '\0' || rest)) {
		char *space = strchr(line, ' ');
		uint32_t value;

		if (space)
			*space = '\0';
		if (!space || space - line >= PATH_BYTES || !is_ours(line) || parse_u32(space + 1, 0, UINT32_MAX, &value) < 0 ||
		    ret_saved->n >= LIMIT_SAVED_SYSCTLS)
			return -EBADMSG;
		memcpy(ret_saved->list[ret_saved->n].path, line, (size_t)(space - line) + 1);
		ret_saved->list[ret_saved->n++].value = value;
	}
	return 0;
}

static int saved_write(const struct router *router, const struct saved *saved)
{
	char name[LIMIT_PATH + 16], temporary[LIMIT_PATH + 16], text[SAVED_BYTES], head[HEAD_BYTES];
	struct buf buf;
	int fd, ret;

	if (mkdir(router->config->state_dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	saved_path(router, "", name, sizeof(name));
	saved_path(router, ".new", temporary, sizeof(temporary));
	saved_head(head);
	buf_init(&buf, text, sizeof(text));
	buf_puts(&buf, head);
	for (unsigned i = 0; i < saved->n; i++)
		buf_printf(&buf, "%s %u\n", saved->list[i].path, saved->list[i].value);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = file_write_all(fd, buf.data, buf.length);
	if (close(fd) < 0 && ret == 0)
		ret = -errno;
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

struct change {
	char path[PATH_BYTES];
	uint32_t value;
};
struct changes {
	unsigned n;
	bool is_saved; /* every old value is in the file already */
	struct change list[LIMIT_SAVED_SYSCTLS];
};

/* Notes one setting that differs. What cannot be read (no such interface or kernel feature) is not set. */
static int want(struct changes *changes, struct saved *saved, const char *path, uint32_t value)
{
	uint32_t old;

	if (linux_sysctl_read(path, &old) < 0 || old == value)
		return 0;
	if (changes->n >= LIMIT_SAVED_SYSCTLS)
		return -ENOSPC;
	snprintf(changes->list[changes->n].path, PATH_BYTES, "%s", path);
	changes->list[changes->n++].value = value;
	if (is_saved(saved, path))
		return 0;
	if (saved->n >= LIMIT_SAVED_SYSCTLS)
		return -ENOSPC;
	snprintf(saved->list[saved->n].path, PATH_BYTES, "%s", path);
	saved->list[saved->n++].value = old;
	changes->is_saved = false;
	return 0;
}

static int want_all(const struct router *router, struct changes *changes, struct saved *saved)
{
	static const char *const linkdown[LINUX_FAMILIES] = {
		"net/ipv4/conf/%s/ignore_routes_with_linkdown",
		"net/ipv6/conf/%s/ignore_routes_with_linkdown",
	};
	uint32_t all = 0;
	int ret = 0;

	(void)linux_sysctl_read("net/ipv4/conf/all/rp_filter", &all); /* 0 is right where there is none */
	for (unsigned i = 0; ret == 0 && i < router->config->n_uplinks; i++) {
		const char *interface = router->config->uplinks[i].interface;
		char path[PATH_BYTES];
		uint32_t own;

		snprintf(path, sizeof(path), "net/ipv4/conf/%s/rp_filter", interface);
		if (linux_sysctl_read(path, &own) == 0 && (all > own ? all : own) == 1)
			ret = want(changes, saved, path, 2);
		for (unsigned f = 0; ret == 0 && f < LINUX_FAMILIES; f++) {
			snprintf(path, sizeof(path), f == LINUX_V4 ? linkdown[LINUX_V4] : linkdown[LINUX_V6], interface);
			ret = want(changes, saved, path, 1);
		}
	}
	return ret;
}

/* A setting that cannot be written does not keep the others from being. */
static int set_all(const struct changes *changes, struct err *err)
{
	int first = 0;

	for (unsigned i = 0; i < changes->n; i++) {
		int ret = sysctl_write(changes->list[i].path, changes->list[i].value);

		if (ret < 0 && ret != -ENOENT && first == 0) /* the interface went away just now */
			first = err_sys(err, ret, "two uplinks may need /proc/sys/%s, which cannot be set", changes->list[i].path);
	}
	return first;
}

int linux_sysctls_set(struct router *router, struct err *err)
{
	struct changes changes = {.is_saved = true};
	struct saved saved;
	int unsaved = saved_read(router, &saved), ret;

	ret = want_all(router, &changes, &saved);
	if (ret < 0)
		return err_sys(err, ret, "more than %d kernel settings to save", LIMIT_SAVED_SYSCTLS);
	if (!changes.is_saved && unsaved == 0)
		unsaved = saved_write(router, &saved);
	ret = set_all(&changes, err);
	if (ret == 0 && changes.n > 0 && unsaved < 0)
		ret = err_sys(err, unsaved, "the old kernel settings are not kept, --remove will leave ours until a reboot: %s/sysctls",
			      router->config->state_dir);
	return ret;
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
