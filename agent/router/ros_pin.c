/*
 * ros_pin: trust on first use. Asks a router for its certificate and prints it for a person to compare, in the form
 * that the agent's configuration wants. The handshake is ended where the certificate has been seen: nobody has
 * vouched for it yet, so nothing is said to the router. Called by main.c.
 */
#include <errno.h>
#include <ev.h>

#include "agent/router/ros_stream.h"
#include "agent/router/router.h"
#include "common/buf.h"

struct look {
	struct ev_loop *loop;
	struct err why;
};

static void on_open(void *arg)
{
	struct look *look = arg;

	/* Its certificate has the SHA-256 that nothing has. */
	err_set(&look->why, -EPROTO, "the router presents a certificate that cannot be");
	ev_break(look->loop, EVBREAK_ALL);
}

static void on_bytes(void *arg, const uint8_t *bytes, size_t length)
{
	(void)arg; /* nobody asked for any */
	(void)bytes;
	(void)length;
}

static void on_end(void *arg, const struct err *why)
{
	struct look *look = arg;

	look->why = *why;
	ev_break(look->loop, EVBREAK_ALL);
}

static void print(const struct ros_tls_certificate *certificate, const char *address, FILE *out)
{
	char digits[2 * LIMIT_ROS_PIN_BYTES + 1];
	struct buf pin;

	buf_init(&pin, digits, sizeof(digits));
	buf_put_hex(&pin, certificate->pin, sizeof(certificate->pin));
	fprintf(out,
		"# presented by %s: %s, valid from %s to %s\n"
		"# compare before you trust it; on the router: /certificate print detail (fingerprint)\n"
		"tls = pinned\npin = %s\n",
		address, certificate->subject[0] ? certificate->subject : "no name", certificate->valid_from,
		certificate->valid_to, digits);
}

int router_show_pin(const char *address, FILE *out, struct err *err)
{
	static const struct ros_stream_events events = { on_open, on_bytes, on_end };
	static struct ros_stream stream; /* 8 KB */
	struct ros_tls_certificate certificate = { .is_seen = false };
	struct ros_tls_settings settings = { .mode = CONFIG_TLS_PINNED, .certificate = &certificate };
	struct look look = { .loop = ev_default_loop(EVFLAG_NOENV) };
	int r;

	if (parse_address(address, 8729, &settings.address) < 0)
		return err_set(err, -EINVAL, "'%s' is not a numeric address", address);
	ros_stream_init(&stream, look.loop, &events, &look);
	r = ros_stream_open(&stream, &settings.address, &settings, &look.why);
	if (r == 0)
		ev_run(look.loop, 0);
	ros_stream_close(&stream);
	if (!certificate.is_seen)
		return err_set(err, r < 0 ? r : -EPROTO, "router %s: %s", address, look.why.text);
	print(&certificate, address, out);
	return 0;
}
