/*
 * local_client: the asking side of the local socket, for the commands of jaga-agent. Runs in a
 * process of its own, so it may block; a silent agent is given up after the longest time that a
 * snapshot may take.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/parse.h"

#include "agent/local.h"

#define SILENCE_S 120

static int connect_agent(const char *path, FILE *errors, int *ret_fd)
{
	const struct timeval silence = { .tv_sec = SILENCE_S };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		fprintf(errors, "jaga-agent: %s is longer than a socket's path may be\n", path);
		return EXIT_USAGE;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		fprintf(errors, "jaga-agent: socket: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = errno == ENOENT || errno == ECONNREFUSED ? EXIT_NOT_RUNNING : EXIT_FAILED;

		if (r == EXIT_NOT_RUNNING)
			fprintf(errors, "jaga-agent: no agent runs (nobody listens at %s); start it with systemctl start "
					"jaga-agent, or jaga-agent --config FILE\n", path);
		else
			fprintf(errors, "jaga-agent: %s: %s%s\n", path, strerror(errno),
				errno == EACCES ? "; ask as root" : "");
		close(fd);
		return r;
	}
	/* Failing leaves us waiting a little longer. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	*ret_fd = fd;
	return EXIT_OK;
}

/* The first line is the exit status; the rest goes where it belongs. */
static int print_answer(FILE *answer, FILE *out, FILE *errors)
{
	char bytes[1024];
	uint32_t status;
	size_t n;

	if (!fgets(bytes, sizeof(bytes), answer))
		bytes[0] = '\0';
	bytes[strcspn(bytes, "\n")] = '\0';
	if (parse_u32(bytes, 0, UINT8_MAX, &status) < 0) {
		fprintf(errors, "jaga-agent: the agent gave no answer; it may be stopping, or too many are asking\n");
		return EXIT_FAILED;
	}
	while ((n = fread(bytes, 1, sizeof(bytes), answer)) > 0)
		fwrite(bytes, 1, n, status == EXIT_OK ? out : errors);
	return fflush(out) == 0 ? (int)status : EXIT_FAILED;
}

int local_ask(const char *path, const char *request, FILE *out, FILE *errors)
{
	FILE *answer;
	int fd = -1, r;

	r = connect_agent(path, errors, &fd);
	if (r != EXIT_OK)
		return r;
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) {
		fprintf(errors, "jaga-agent: %s: %s\n", path, strerror(errno));
		close(fd);
		return EXIT_FAILED;
	}
	answer = fdopen(fd, "r");
	if (!answer) {
		fprintf(errors, "jaga-agent: %s\n", strerror(errno));
		close(fd);
		return EXIT_FAILED;
	}
	r = print_answer(answer, out, errors);
	fclose(answer);
	return r;
}
