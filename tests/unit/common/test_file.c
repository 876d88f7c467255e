/* file: all of it is written, and a socket is told from what a crash left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"

/* More than a pipe holds: the writer has to come back for the rest. */
static void test_all_is_written(void **state)
{
	static char bytes[300000], got[300000];
	size_t length = 0;
	int fds[2], status;
	pid_t child;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(fds[0]);
		_exit(file_write_all(fds[1], bytes, sizeof(bytes)) == 0 ? 0 : 1);
	}
	close(fds[1]);
	for (ssize_t n; (n = read(fds[0], got + length, sizeof(got) - length)) > 0;)
		length += (size_t)n;
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(length, sizeof(bytes));
	assert_memory_equal(got, bytes, sizeof(bytes));
	assert_int_equal(file_write_all(-1, bytes, 1), -EBADF);
	assert_int_equal(file_write_all(-1, bytes, 0), 0);
}

static void test_who_answers(void **state)
{
	char dir[] = "/tmp/jaga-test-XXXXXX", too_long[200];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", dir);
	assert_false(file_socket_answers(address.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_false(file_socket_answers(address.sun_path)); /* bound, nobody listens */
	assert_int_equal(listen(fd, 0), 0);
	assert_true(file_socket_answers(address.sun_path));
	for (int i = 0; i < 4; i++) /* its queue fills */
		assert_true(file_socket_answers(address.sun_path));
	close(fd);
	assert_false(file_socket_answers(address.sun_path)); /* as a crash leaves it */
	unlink(address.sun_path);
	rmdir(dir);
	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_false(file_socket_answers(too_long));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_written),
		cmocka_unit_test(test_who_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
