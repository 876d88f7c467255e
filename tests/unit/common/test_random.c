/*
 * random: a kernel that has no random numbers yet, and older ones. Each case is a child with a filter that answers
 * getrandom(2) with an errno, by the flags of the call; what the child found is its exit status.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "common/random.h"

#define FLAGS_OFFSET (offsetof(struct seccomp_data, args) + 2 * sizeof(uint64_t) + \
		      (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? sizeof(uint32_t) : 0))

/* getrandom fails with these: 0 lets it through. */
struct errors {
	unsigned blocking, nonblocking, insecure;
};

static int answer(unsigned error)
{
	return (int)(error == 0 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | error);
}

static int install(const struct errors *errors)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FLAGS_OFFSET),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GRND_NONBLOCK, 2, 0),
		BPF_STMT(BPF_RET | BPF_K, (unsigned)answer(errors->insecure)),
		BPF_STMT(BPF_RET | BPF_K, (unsigned)answer(errors->blocking)),
		BPF_STMT(BPF_RET | BPF_K, (unsigned)answer(errors->nonblocking)),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Different each time, and not the zeros that were there. */
static int fills(void)
{
	uint8_t zero[32] = { 0 }, first[32] = { 0 }, second[32] = { 0 };

	random_fill(first, sizeof(first));
	random_fill(second, sizeof(second));
	return memcmp(first, zero, sizeof(zero)) != 0 && memcmp(first, second, sizeof(first)) != 0;
}

/* The exit status of `check` under a filter; 77 when there can be none. */
static int under(const struct errors *errors, int (*check)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(install(errors) ? check() : 77);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	return WEXITSTATUS(status);
}

static int is_ready(void)
{
	return random_is_ready();
}

static int wait_error(void)
{
	return -random_wait();
}

static int fills_without_dev(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/dev", "tmpfs", 0, "") < 0)
		return 77;
	return access("/dev/urandom", F_OK) != 0 && fills();
}

static void test_a_kernel_that_has_enough(void **state)
{
	(void)state;
	assert_true(random_is_ready());
	assert_int_equal(random_wait(), 0);
	assert_true(fills());
}

static void test_a_kernel_that_has_none_yet(void **state)
{
	/* That blocking is not allowed is how the test sees that random_fill does not wait. */
	static const struct errors early = { EDEADLK, EAGAIN, 0 }, early_and_old = { EDEADLK, EAGAIN, EINVAL };

	(void)state;
	assert_int_equal(under(&early, is_ready), 0);
	assert_int_equal(under(&early, wait_error), EDEADLK);
	assert_int_equal(under(&early, fills), 1);
	assert_int_equal(under(&early_and_old, is_ready), 0);
	assert_int_equal(under(&early_and_old, fills), 1);
	assert_int_equal(under(&early_and_old, fills_without_dev), 1);
}

static void test_a_kernel_without_the_call(void **state)
{
	static const struct errors ancient = { ENOSYS, ENOSYS, ENOSYS };

	(void)state;
	assert_int_equal(under(&ancient, is_ready), 1);
	assert_int_equal(under(&ancient, wait_error), 0);
	assert_int_equal(under(&ancient, fills), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_kernel_that_has_enough),
		cmocka_unit_test(test_a_kernel_that_has_none_yet),
		cmocka_unit_test(test_a_kernel_without_the_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
