/*
 * system: see system.h. Small files are read into the stack by open, read, close: stdio would
 * allocate a buffer for each sample, once a minute for years. Called by agent.c.
 */
#include "agent/system.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/file.h"
#include "common/parse.h"

#define PID_FILE "agent.pid"
#define CLAIM_QUEUE 8 /* who asks for our pid between two system_answer_claims() */

/* The beginning of a file as a string; "" when there is none. */
static void read_text(const char *path, char *ret_text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd >= 0) {
		n = read(fd, ret_text, size - 1);
		close(fd);
	}
	ret_text[n > 0 ? n : 0] = '\0';
}

static uint32_t read_number(const char *path)
{
	char text[32];
	uint32_t value;

	read_text(path, text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	return parse_u32(text, 0, UINT32_MAX, &value) == 0 ? value : 0;
}

/* --- identity --------------------------------------------------------------------------------- */

static void read_model(char *ret_model, size_t size)
{
	static const char *const paths[] = { "/tmp/sysinfo/model", "/proc/device-tree/model",
					     "/sys/class/dmi/id/product_name" };

	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		read_text(paths[i], ret_model, size);
		ret_model[strcspn(ret_model, "\n")] = '\0';
		if (ret_model[0] != '\0')
			return;
	}
}

/* PRETTY_NAME="Debian GNU/Linux 12 (bookworm)" */
static void read_os_name(char *ret_name, size_t size)
{
	char text[1024];
	const char *at;

	read_text("/etc/os-release", text, sizeof(text));
	at = strstr(text, "PRETTY_NAME=");
	if (!at) {
		snprintf(ret_name, size, "Linux");
		return;
	}
	at += strlen("PRETTY_NAME=");
	at += *at == '"' ? 1 : 0;
	snprintf(ret_name, size, "%.*s", (int)strcspn(at, "\"\n"), at);
}

void system_read_identity(struct system_identity *ret_identity)
{
	struct utsname uts = { .release = "" };
	char name[48];

	memset(ret_identity, 0, sizeof(*ret_identity));
	uname(&uts); /* fails only for a bad pointer */
	snprintf(ret_identity->hostname, sizeof(ret_identity->hostname), "%s", uts.nodename);
	read_model(ret_identity->model, sizeof(ret_identity->model));
	read_os_name(name, sizeof(name));
	snprintf(ret_identity->system, sizeof(ret_identity->system), "%s, %.40s", name, uts.release);
}

/* --- load ------------------------------------------------------------------------------------- */

uint32_t system_parse_load(const char *text)
{
	uint32_t whole = 0, fraction = 0, unit = 100;

	if (*text < '0' || *text > '9')
		return 0;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (whole > 1000000)
			return 0;
		whole = whole * 10 + (uint32_t)(*text - '0');
	}
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9' && unit > 0; text++, unit /= 10)
			fraction += (uint32_t)(*text - '0') * unit;
	return whole * 1000 + fraction;
}

static uint32_t read_mem_available(void)
{
	char text[512];
	const char *at;
	char digits[16];
	uint32_t value;

	read_text("/proc/meminfo", text, sizeof(text));
	at = strstr(text, "MemAvailable:");
	if (!at) /* kernels before 3.14 */
		at = strstr(text, "MemFree:");
	if (!at)
		return 0;
	at += strcspn(at, "0123456789");
	snprintf(digits, sizeof(digits), "%.*s", (int)strspn(at, "0123456789"), at);
	return parse_u32(digits, 0, UINT32_MAX, &value) == 0 ? value : 0;
}

#define CONNTRACK_COUNT "/proc/sys/net/netfilter/nf_conntrack_count"
#define CONNTRACK_MAX "/proc/sys/net/netfilter/nf_conntrack_max"

bool system_is_table_full(unsigned percent, uint32_t *ret_max)
{
	uint32_t count = read_number(CONNTRACK_COUNT), max = read_number(CONNTRACK_MAX);

	if (ret_max)
		*ret_max = max;
	return max > 0 && (uint64_t)count * 100 >= (uint64_t)max * percent;
}

void system_read_load(struct system_load *ret_load)
{
	char text[64];

	read_text("/proc/loadavg", text, sizeof(text));
	*ret_load = (struct system_load){
		.conntrack_count = read_number(CONNTRACK_COUNT),
		.conntrack_max = read_number(CONNTRACK_MAX),
		.mem_available_kb = read_mem_available(),
		.load_permille = system_parse_load(text),
	};
}

/* --- one agent a router ------------------------------------------------------------------------ */

#define FIRST_USER 1000 /* uids from here on are people's, whose processes must not keep the agent out */

/* An abstract name: behind a NUL, without a file. */
static int claim_address(const struct parse_address *router, int flags, struct sockaddr_un *ret_address, socklen_t *ret_length)
{
	char *name = ret_address->sun_path + 1, host[INET6_ADDRSTRLEN] = "";
	int length;

	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (router)
		inet_ntop(router->family, &router->v4, host, sizeof(host)); /* v6 stands in the same place */
	length = snprintf(name, sizeof(ret_address->sun_path) - 1, router ? "jaga-agent %s" : "jaga-agent", host);
	*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
}

/*
 * Who holds the name. -ECONNREFUSED: it does not listen, as an agent does, or has just ended. -EAGAIN: its queue is
 * full, and it answered nobody for as long as an agent takes for that.
 */
static int read_holder(const struct parse_address *router, struct ucred *ret_holder)
{
	const struct timeval patience = { .tv_sec = LIMIT_UPKEEP_MS / 1000 + 2 };
	struct sockaddr_un address;
	socklen_t length, size = sizeof(*ret_holder);
	int fd = claim_address(router, 0, &address, &length), r = 0;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (struct sockaddr *)&address, length) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_holder, &size) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int refuse_claim(const struct parse_address *router, struct err *err)
{
	struct ucred holder;
	int r = read_holder(router, &holder);

	if (r == -ECONNREFUSED || r == -EAGAIN)
		return err_set(err, -EPERM, "a process that is no agent holds the agent's name; going on beside it");
	if (r < 0)
		return err_set(err, -EBUSY, "another jaga-agent steers this router; stop it first");
	if (holder.uid >= FIRST_USER && holder.uid != geteuid())
		return err_set(err, -EPERM, "pid %d of an ordinary user (uid %u) holds the agent's name; going on beside it",
			       (int)holder.pid, (unsigned)holder.uid);
	return err_set(err, -EBUSY, "another jaga-agent (pid %d) steers this router; stop it first", (int)holder.pid);
}

int system_claim(const struct parse_address *router, int *ret_fd, struct err *err)
{
	struct sockaddr_un address;
	socklen_t length;
	int fd = claim_address(router, SOCK_NONBLOCK, &address, &length), r = 0;

	if (fd < 0)
		return err_sys(err, -errno, "socket");
	if (bind(fd, (struct sockaddr *)&address, length) < 0)
		r = errno == EADDRINUSE ? refuse_claim(router, err) : err_sys(err, -errno, "the agent's name cannot be taken");
	else if (listen(fd, CLAIM_QUEUE) < 0)
		r = err_sys(err, -errno, "listen");
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

void system_answer_claims(int fd)
{
	int asker;

	while (fd >= 0 && (asker = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(asker);
}

/* --- the state directory ----------------------------------------------------------------------- */

int system_make_dir(const char *path, struct err *err)
{
	char part[LIMIT_PATH];
	struct stat info;

	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = part + 1;; *slash++ = '/') {
		slash += strcspn(slash, "/");
		bool is_last = *slash == '\0';

		*slash = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return err_sys(err, -errno, "%s cannot be created", part);
		if (is_last)
			break;
	}
	if (stat(path, &info) < 0)
		return err_sys(err, -errno, "%s", path);
	if (!S_ISDIR(info.st_mode))
		return err_set(err, -ENOTDIR, "%s is not a directory", path);
	return 0;
}

int system_lock(const char *dir, int *ret_fd, struct err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0; /* itself: needs no room for a lock file */

	if (fd < 0)
		return err_sys(err, -errno, "%s", dir);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK ? err_set(err, -EBUSY, "another jaga-agent holds %s; stop it first", dir)
					 : err_sys(err, -errno, "%s", dir);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int has_room(int dir)
{
	struct statvfs fs;
	bool is_root = geteuid() == 0; /* whose reserve counts */

	if (fstatvfs(dir, &fs) < 0)
		return -errno;
	if (fs.f_flag & ST_RDONLY)
		return -EROFS;
	/* A file system that counts nothing tells 0 of 0. */
	if ((fs.f_blocks > 0 && (is_root ? fs.f_bfree : fs.f_bavail) == 0) || (fs.f_files > 0 && fs.f_ffree == 0))
		return -ENOSPC;
	return 0;
}

/* As the journal is written: a new file that takes the place of the old one, or neither. */
static int write_pid(int dir)
{
	int fd = openat(dir, PID_FILE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r, length;
	char text[16];

	if (fd < 0)
		return -errno;
	length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	r = file_write_all(fd, text, (size_t)length);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(dir, PID_FILE ".new", dir, PID_FILE) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, PID_FILE ".new", 0); /* it may not even be there */
	return r;
}

static int look_into(const char *path, bool is_written, struct err *err)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (dir < 0)
		return err_sys(err, -errno, "%s cannot be written", path);
	r = has_room(dir);
	if (r == 0 && is_written)
		r = write_pid(dir);
	close(dir);
	return r < 0 ? err_sys(err, r, "%s cannot be written", path) : 0;
}

int system_check_room(const char *dir, struct err *err)
{
	return look_into(dir, false, err);
}

int system_note_pid(const char *dir, struct err *err)
{
	return look_into(dir, true, err);
}

/* --- the key ----------------------------------------------------------------------------------- */

static int read_key_file(int fd, const char *path, char text[static 2 * LIMIT_PSK_BYTES + 2], struct err *err)
{
	struct stat info;
	ssize_t n;

	if (fstat(fd, &info) < 0)
		return err_sys(err, -errno, "%s", path);
	if (!S_ISREG(info.st_mode))
		return err_set(err, -EINVAL, "%s is not a regular file", path);
	if ((info.st_mode & 077) != 0)
		return err_set(err, -EACCES, "%s can be read by others (mode %04o); chmod 0600 %s", path,
			       (unsigned)info.st_mode & 0777, path);
	n = read(fd, text, 2 * LIMIT_PSK_BYTES + 2);
	if (n < 0)
		return err_sys(err, -errno, "%s", path);
	if (n == 2 * LIMIT_PSK_BYTES + 1 && text[n - 1] == '\n')
		n--;
	if (n != 2 * LIMIT_PSK_BYTES)
		return err_set(err, -EINVAL, "%s does not hold 64 hexadecimal digits; copy it again from `jaga enroll`", path);
	text[n] = '\0';
	return 0;
}

int system_read_key(const char *path, uint8_t ret_key[static LIMIT_PSK_BYTES], struct err *err)
{
	char text[2 * LIMIT_PSK_BYTES + 2] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r;

	if (fd < 0)
		return err_sys(err, -errno, "key file %s", path);
	r = read_key_file(fd, path, text, err);
	if (r == 0 && parse_hex(text, ret_key, LIMIT_PSK_BYTES) < 0)
		r = err_set(err, -EINVAL, "%s does not hold 64 hexadecimal digits; copy it again from `jaga enroll`", path);
	if (r < 0)
		explicit_bzero(ret_key, LIMIT_PSK_BYTES);
	explicit_bzero(text, sizeof(text));
	close(fd);
	return r;
}

void system_protect_memory(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none); /* lowering one's own limit cannot fail */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
