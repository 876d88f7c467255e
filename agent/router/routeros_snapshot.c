/*
 * routeros_snapshot: the router's /export, made canonical by ros_export.
 *
 *   from 7.8   /execute as-string, whose answer streams however long it is; nothing is written
 *   before     /export to a file, the file's contents (4 KB on 6, 60 KB on 7), by FTP when it has more, the file removed
 *
 * Secrets are left out: 7 does so by itself, 6 is told to. Either way the text is made canonical as it comes, so that it costs its
 * own length in memory, mapped for that long; one that is too long is heard to its end all the same, to be told by its size.
 * Called through router.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/router/ros_export.h"
#include "agent/router/ros_ftp.h"
#include "agent/router/routeros.h"

#define FILE_NAME "jaga-snapshot"

struct routeros_snapshot_job {
	struct router *router;
	router_snapshot_fn *on_done;
	void *arg;
	struct ros_export export;
	struct buf out;
	char file_id[LIMIT_ROS_ID]; /* of what is to be removed; "": nothing */
	uint64_t size, read;	    /* bytes of the file, and of what was handed out */
	struct ros_ftp *ftp;	    /* NULL: not under way */
	struct ros_ftp_request request;
	bool has_service;
	struct err err;
	char text[LIMIT_BODY_BYTES + 1]; /* mapped: what is not used costs nothing */
};

static void finish(struct routeros_snapshot_job *job, int status)
{
	if (status == 0)
		status = ros_export_finish(&job->export, &job->err);
	if (status == -EMSGSIZE && job->out.failed)
		err_set(&job->err, 0, "the export has %llu bytes, and a snapshot at most %d", (unsigned long long)job->read,
			LIMIT_BODY_BYTES);
	job->router->snapshot_job = NULL;
	explicit_bzero(&job->request, sizeof(job->request)); /* it holds the password */
	if (status < 0) {
		err_prefix(&job->err, "router %s: ", job->router->config->router_name);
		job->on_done(job->arg, NULL, 0, &job->err);
	} else {
		job->on_done(job->arg, job->out.data, job->out.length, NULL);
	}
	munmap(job, sizeof(*job));
}

static void take(struct routeros_snapshot_job *job, const void *bytes, size_t length)
{
	job->read += length;
	ros_export_add(&job->export, bytes, length);
}

static int on_bulk(void *arg, const uint8_t *piece, size_t length, bool is_last)
{
	(void)is_last;
	take(arg, piece, length);
	return 0;
}

static void on_ftp_bytes(void *arg, const void *bytes, size_t length)
{
	take(arg, bytes, length);
}

/* --- as a string ---------------------------------------------------------------------------------- */

static void on_executed(void *arg, const struct ros_result *result)
{
	struct routeros_snapshot_job *job = arg;
	const char *text = result->done ? ros_find(result->done, "ret") : NULL;

	job->err = result->err;
	if (text) /* it was short */
		take(job, text, strlen(text));
	ros_export_add(&job->export, "\n", 1); /* the answer is whole, and a string has no newline at its end */
	finish(job, result->status);
}

static int execute(struct routeros_snapshot_job *job, struct err *err)
{
	static const struct ros_answer answer = { .bulk_key = "ret", .on_bulk = on_bulk, .on_end = on_executed };
	struct buf *out = ros_api_begin(job->router->api, "/execute");

	ros_put_word(out, "=script=/export");
	ros_put_word(out, "=as-string=");
	return ros_api_send(job->router->api, LIMIT_ROS_PRINT_MS, &answer, job, NULL, err);
}

/* --- by a file -------------------------------------------------------------------------------------- */

static void on_file_removed(void *arg, const struct ros_result *result)
{
	struct routeros_snapshot_job *job = arg;

	if (result->status == -EREMOTEIO)
		routeros_trouble(job->router, LOG_LEVEL_WARNING, "keeps the file %s.rsc: %s", FILE_NAME, result->err.text);
	else if (result->status < 0 && job->err.text[0] == '\0')
		job->err = result->err;
	finish(job, job->err.text[0] ? -EIO : 0);
}

/* The last step, also of what failed before: job->err says so. */
static void remove_file(struct routeros_snapshot_job *job)
{
	static const struct ros_answer answer = { .on_end = on_file_removed };
	struct err err;
	int r;

	ros_put_attribute(ros_api_begin(job->router->api, "/file/remove"), ".id", job->file_id, strlen(job->file_id));
	r = ros_api_send(job->router->api, LIMIT_ROS_ANSWER_MS, &answer, job, NULL, &err);
	if (r == 0)
		return;
	if (job->err.text[0] == '\0')
		job->err = err;
	finish(job, r);
}

static void on_ftp_end(void *arg, const struct err *why)
{
	struct routeros_snapshot_job *job = arg;

	if (why) /* which is the transfer's own, and goes with it */
		err_set(&job->err, 0, "the export has %llu bytes, more than this version's API hands out, and %.*s",
			(unsigned long long)job->size, LIMIT_ERR_TEXT - 100, why->text);
	ros_ftp_destroy(job->ftp);
	job->ftp = NULL;
	remove_file(job);
}

static int on_service(void *arg, const struct ros_sentence *row)
{
	struct routeros_snapshot_job *job = arg;
	const char *port = ros_find(row, "port");
	uint64_t number;

	if (port && parse_u64(port, 1, UINT16_MAX, &number) == 0 && !ros_row_is(row, "disabled")) {
		job->request.address.port = (uint16_t)number;
		job->has_service = true;
	}
	return 0;
}

static int start_ftp(struct routeros_snapshot_job *job)
{
	static const struct ros_ftp_events events = { .on_bytes = on_ftp_bytes, .on_end = on_ftp_end };
	struct ros_ftp_request *request = &job->request;
	int r = routeros_read_password(job->router->config, request->password, &job->err);

	if (r < 0)
		return r;
	routeros_copy(request->user, sizeof(request->user), job->router->config->router_user);
	routeros_copy(request->path, sizeof(request->path), FILE_NAME ".rsc");
	request->size = job->size;
	request->timeout_ms = LIMIT_ROS_PRINT_MS;
	job->read = 0;
	buf_clear(&job->out);
	ros_export_init(&job->export, &job->out);
	return ros_ftp_fetch(job->router->loop, request, &events, job, &job->ftp, &job->err);
}

static void on_services(void *arg, const struct ros_result *result)
{
	struct routeros_snapshot_job *job = arg;

	if (result->status < 0)
		job->err = result->err;
	else if (!job->has_service)
		err_set(&job->err, 0, "the export has %llu bytes, more than this version's API hands out: it takes "
			"/ip service enable ftp, and policy ftp for the agent's user", (unsigned long long)job->size);
	if (result->status < 0 || job->err.text[0] || start_ftp(job) < 0) /* a session that is destroyed says no why */
		remove_file(job);
}

static int ask_service(struct routeros_snapshot_job *job)
{
	static const struct ros_answer answer = { .on_re = on_service, .on_end = on_services };
	struct buf *out;

	if (job->router->config->tls != CONFIG_TLS_OFF)
		return err_set(&job->err, -EPERM,
			       "the export has %llu bytes, more than this version's API hands out, and FTP would show it and the "
			       "password on the wire, which tls is there to prevent; RouterOS 7.8 hands out all", (unsigned long long)job->size);
	out = ros_api_begin(job->router->api, "/ip/service/print");
	ros_put_word(out, "=.proplist=port,disabled");
	ros_put_word(out, "?name=ftp");
	job->request.address = job->router->config->router;
	return ros_api_send(job->router->api, LIMIT_ROS_ANSWER_MS, &answer, job, NULL, &job->err);
}

static int on_file(void *arg, const struct ros_sentence *row)
{
	struct routeros_snapshot_job *job = arg;
	const char *id = ros_find(row, ".id"), *size = ros_find(row, "size"), *contents = ros_find(row, "contents");

	if (id)
		routeros_copy(job->file_id, sizeof(job->file_id), id);
	if (size && parse_u64(size, 0, UINT64_MAX, &job->size) < 0)
		job->size = UINT64_MAX; /* "4096" is how it is written; what else it may be cannot be checked */
	if (contents)
		take(job, contents, strlen(contents));
	return 0;
}

static void on_file_read(void *arg, const struct ros_result *result)
{
	struct routeros_snapshot_job *job = arg;
	int r = result->status;

	job->err = result->err;
	if (r == 0 && job->file_id[0] == '\0')
		r = err_set(&job->err, -ENOENT, "the router exported, but there is no file %s.rsc", FILE_NAME);
	if (job->file_id[0] == '\0')
		finish(job, r);
	else if (r < 0 || job->read >= job->size || ask_service(job) < 0)
		remove_file(job);
}

static void on_exported(void *arg, const struct ros_result *result)
{
	static const struct ros_answer answer = { .on_re = on_file, .bulk_key = "contents", .on_bulk = on_bulk, .on_end = on_file_read };
	struct routeros_snapshot_job *job = arg;
	int r = result->status;
	struct buf *out;

	job->err = result->err;
	if (r == 0) {
		out = ros_api_begin(job->router->api, "/file/print");
		ros_put_word(out, "=.proplist=.id,size,contents");
		ros_put_word(out, "?name=" FILE_NAME ".rsc");
		r = ros_api_send(job->router->api, LIMIT_ROS_PRINT_MS, &answer, job, NULL, &job->err);
	}
	if (r < 0)
		finish(job, r);
}

static int export_to_file(struct routeros_snapshot_job *job, struct err *err)
{
	static const struct ros_answer answer = { .on_end = on_exported };
	struct buf *out = ros_api_begin(job->router->api, "/export");

	ros_put_word(out, "=file=" FILE_NAME);
	if (job->router->model.major < 7)
		ros_put_word(out, "=hide-sensitive=");
	return ros_api_send(job->router->api, LIMIT_ROS_PRINT_MS, &answer, job, NULL, err);
}

/* --- operations -------------------------------------------------------------------------------------- */

int routeros_snapshot(struct router *router, router_snapshot_fn *on_done, void *arg, struct err *err)
{
	struct routeros_snapshot_job *job;
	int r;

	if (router->snapshot_job)
		return err_set(err, -EBUSY, "a snapshot is being taken");
	job = mmap(NULL, sizeof(*job), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (job == MAP_FAILED)
		return err_sys(err, -ENOMEM, "snapshot");
	job->router = router;
	job->on_done = on_done;
	job->arg = arg;
	buf_init(&job->out, job->text, sizeof(job->text));
	ros_export_init(&job->export, &job->out);
	r = routeros_is_from(router, 7, 8) ? execute(job, err) : export_to_file(job, err);
	if (r < 0)
		munmap(job, sizeof(*job));
	else
		router->snapshot_job = job;
	return r;
}

static void ignore(void *arg, const char *text, size_t length, const struct err *error)
{
	(void)arg;
	(void)text;
	(void)length;
	(void)error;
}

/* Its command ends with the session, and the job with that; a file under way belongs to no session. */
void routeros_snapshot_close(struct router *router)
{
	struct routeros_snapshot_job *job = router->snapshot_job;

	if (!job)
		return;
	job->on_done = ignore;
	if (job->ftp) {
		ros_ftp_destroy(job->ftp);
		finish(job, -ECANCELED);
	}
}
