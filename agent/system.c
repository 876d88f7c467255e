/*
 * system: see system.h. Small files are read into the stack by open, read, close: stdio would
 * allocate a buffer for each sample, once a minute for years. Called by agent.c.
 */
#include "agent/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/parse.h"

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

void system_read_load(struct system_load *ret_load)
{
	char text[64];

	read_text("/proc/loadavg", text, sizeof(text));
	*ret_load = (struct system_load){
		.conntrack_count = read_number("/proc/sys/net/netfilter/nf_conntrack_count"),
		.conntrack_max = read_number("/proc/sys/net/netfilter/nf_conntrack_max"),
		.mem_available_kb = read_mem_available(),
		.load_permille = system_parse_load(text),
	};
}

/* --- start ------------------------------------------------------------------------------------ */

void system_make_boot_id(uint8_t ret_boot_id[static LIMIT_BOOT_ID_BYTES])
{
	/*
	 * It only has to differ from start to start. At boot a router may have no entropy for minutes, and
	 * forwarding does not wait for that: then the clocks and the pid have to do.
	 */
	int64_t clocks[2] = { clock_wall_ms(), clock_mono_us() * 65536 + getpid() };

	if (getrandom(ret_boot_id, LIMIT_BOOT_ID_BYTES, GRND_NONBLOCK) == LIMIT_BOOT_ID_BYTES)
		return;
	memcpy(ret_boot_id, clocks, LIMIT_BOOT_ID_BYTES);
}

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

#define PID_FILE "agent.pid"

static int write_pid(int dir)
{
	int fd = openat(dir, PID_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%d\n", (int)getpid()) < 0)
		r = -errno;
	close(fd);
	return r;
}

int system_lock(const char *dir, int *ret_fd, struct err *err)
{
	char path[LIMIT_PATH + 16], pid[16];
	int fd, r = 0;

	/* The directory itself: a lock file could not be made on flash that is full or read-only. */
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "%s", dir);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	if (r == -EWOULDBLOCK) {
		snprintf(path, sizeof(path), "%s/" PID_FILE, dir);
		read_text(path, pid, sizeof(pid));
		pid[strcspn(pid, "\n")] = '\0';
		r = err_set(err, -EBUSY, "another jaga-agent (pid %s) holds %s; stop it first", pid[0] ? pid : "unknown", dir);
	} else if (r < 0) {
		err_sys(err, r, "%s", dir);
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int system_note_pid(int lock_fd, const char *dir, struct err *err)
{
	int r = write_pid(lock_fd);

	return r < 0 ? err_sys(err, r, "%s cannot be written", dir) : 0;
}

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
