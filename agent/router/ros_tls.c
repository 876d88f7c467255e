/*
 * ros_tls: see ros_tls.h. mbedTLS does the work; here is what it may agree to, and what is said when it does not.
 *
 *   create -> handshake, which asks judge() about each certificate -> receive, send -> destroy
 *
 * mbedTLS knows no calendar here (the wall clock of a router may be wrong, see common/clock.h), so judge() looks at
 * dates itself. Whatever the handshake returns, it is not believed before judge() has accepted the router's own
 * certificate. Called by ros_stream.c.
 */
#include "agent/router/ros_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/random.h"

/* In words that RouterOS 6 and 7 take, and short enough for a notice (CONDITION_TEXT) that names the router. */
#define REMEDY "has api-ssl a certificate? /certificate add name=api common-name=api; /certificate sign api; " \
	       "/ip service set api-ssl certificate=api"

struct ros_tls {
	const struct ros_tls_settings *settings;
	int fd;
	int socket_error;	 /* errno that ended it; 0: none */
	bool is_blocked;	 /* the last call found the socket full */
	bool is_seen, is_accepted; /* the router's certificate */
	size_t turn_bytes;	 /* that this call may still take from the socket */
	size_t pending;		 /* of a record that waits in mbedTLS; it must be offered again as it was */
	char dates[96];		 /* what is wrong with those of the certificate nearest to the router's own */
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config config;
	mbedtls_x509_crt authorities;
};

/* --- the socket ---------------------------------------------------------------------------------- */

static int receive_some(void *arg, unsigned char *bytes, size_t size)
{
	struct ros_tls *tls = arg;
	ssize_t got;

	/* Records that carry nothing would keep mbedTLS here for as long as they come. */
	if (tls->turn_bytes == 0)
		return MBEDTLS_ERR_SSL_WANT_READ;
	got = recv(tls->fd, bytes, size < tls->turn_bytes ? size : tls->turn_bytes, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return MBEDTLS_ERR_SSL_WANT_READ;
	if (got < 0) {
		tls->socket_error = errno;
		return MBEDTLS_ERR_NET_RECV_FAILED;
	}
	tls->turn_bytes -= (size_t)got;
	return (int)got;
}

static int send_some(void *arg, const unsigned char *bytes, size_t length)
{
	struct ros_tls *tls = arg;
	ssize_t sent = send(tls->fd, bytes, length, MSG_NOSIGNAL);

	if (sent >= 0)
		return (int)sent;
	if (errno == EAGAIN || errno == EINTR) {
		tls->is_blocked = true;
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	}
	tls->socket_error = errno;
	return MBEDTLS_ERR_NET_SEND_FAILED;
}

static void begin_turn(struct ros_tls *tls)
{
	tls->turn_bytes = LIMIT_ROS_TURN_BYTES;
	tls->is_blocked = false;
}

static int fill_random(void *arg, unsigned char *bytes, size_t length)
{
	(void)arg;
	random_fill(bytes, length);
	return 0;
}

/* --- certificates -------------------------------------------------------------------------------- */

static void write_date(const mbedtls_x509_time *date, char *ret_text, size_t size)
{
	struct buf text;

	buf_init(&text, ret_text, size);
	buf_printf(&text, "%04d-%02d-%02d", date->year, date->mon, date->day);
}

static int64_t seconds_of(const mbedtls_x509_time *date)
{
	struct tm parts = { .tm_year = date->year - 1900, .tm_mon = date->mon - 1, .tm_mday = date->day,
			    .tm_hour = date->hour, .tm_min = date->min, .tm_sec = date->sec };

	return timegm(&parts);
}

static uint32_t check_dates(struct ros_tls *tls, const mbedtls_x509_crt *certificate, bool is_authority)
{
	const char *whose = is_authority ? "the certificate of its authority" : "its certificate";
	int64_t now_s = clock_wall_ms() / 1000;
	bool is_expired = now_s > seconds_of(&certificate->valid_to);
	char date[sizeof("2026-11-21")];
	struct buf text;

	if (!clock_wall_is_set() || (!is_expired && now_s >= seconds_of(&certificate->valid_from)))
		return 0;
	write_date(is_expired ? &certificate->valid_to : &certificate->valid_from, date, sizeof(date));
	buf_init(&text, tls->dates, sizeof(tls->dates));
	buf_printf(&text, "%s %s %s", whose, is_expired ? "expired on" : "is not valid before", date);
	return is_expired ? MBEDTLS_X509_BADCERT_EXPIRED : MBEDTLS_X509_BADCERT_FUTURE;
}

static void describe(const mbedtls_x509_crt *certificate, const uint8_t pin[static LIMIT_ROS_PIN_BYTES],
		     struct ros_tls_certificate *ret_seen)
{
	ret_seen->is_seen = true;
	memcpy(ret_seen->pin, pin, sizeof(ret_seen->pin));
	/* A subject that does not fit is left out: it is for reading, the pin is what counts. */
	if (mbedtls_x509_dn_gets(ret_seen->subject, sizeof(ret_seen->subject), &certificate->subject) < 0)
		ret_seen->subject[0] = '\0';
	write_date(&certificate->valid_from, ret_seen->valid_from, sizeof(ret_seen->valid_from));
	write_date(&certificate->valid_to, ret_seen->valid_to, sizeof(ret_seen->valid_to));
}

/*
 * mbedTLS asks this about each certificate of the chain, the router's own (depth 0) last; *flags is what it has found
 * wrong itself. Failing ends the handshake.
 */
static int judge(void *arg, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
	struct ros_tls *tls = arg;
	const struct ros_tls_settings *settings = tls->settings;
	uint8_t pin[LIMIT_ROS_PIN_BYTES];

	if (settings->mode == CONFIG_TLS_VERIFIED)
		*flags |= check_dates(tls, certificate, depth > 0);
	if (depth > 0)
		return 0;
	if (mbedtls_sha256(certificate->raw.p, certificate->raw.len, pin, 0) != 0)
		return MBEDTLS_ERR_X509_FATAL_ERROR;
	tls->is_seen = true;
	if (settings->certificate)
		describe(certificate, pin, settings->certificate);
	if (settings->mode == CONFIG_TLS_PINNED) {
		if (memcmp(pin, settings->pin, sizeof(pin)) != 0)
			return MBEDTLS_ERR_X509_FATAL_ERROR;
		*flags = 0; /* the pin is all that is asked for */
	}
	/* What is wrong further up in the chain is not in these flags: VERIFY_REQUIRED fails on it. */
	tls->is_accepted = *flags == 0;
	return 0;
}

static int refused(const struct ros_tls *tls, struct err *err)
{
	static const struct {
		uint32_t flags;
		const char *text;
	} rows[] = {
		{ MBEDTLS_X509_BADCERT_NOT_TRUSTED, "it leads to no authority of ca_file" },
		{ MBEDTLS_X509_BADCERT_CN_MISMATCH, "it is not made out for this address" },
		{ MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY,
		  "its key or signature is too weak" },
		{ MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE | MBEDTLS_X509_BADCERT_NS_CERT_TYPE,
		  "it is not for a server (key-usage=tls-server)" },
	};
	uint32_t flags = mbedtls_ssl_get_verify_result(&tls->ssl);
	char memory[LIMIT_ERR_TEXT];
	struct buf text;

	if (tls->settings->mode == CONFIG_TLS_PINNED)
		return err_set(err, -EACCES, "the router's certificate is not the pinned one; somebody is in between, or it was "
			       "renewed: compare with the router, then set pin again (jaga-agent --pin)");
	buf_init(&text, memory, sizeof(memory));
	if (flags & (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE)) {
		buf_puts(&text, tls->dates);
		flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
	}
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (flags & rows[i].flags)
			buf_printf(&text, "%s%s", text.length ? "; " : "", rows[i].text);
		flags &= ~rows[i].flags;
	}
	if (flags != 0 || text.length == 0)
		buf_printf(&text, "%smbedTLS says 0x%x", text.length ? "; " : "", (unsigned)flags);
	return err_set(err, -EACCES, "the router's certificate is refused: %s", memory);
}

/* --- what went wrong ------------------------------------------------------------------------------ */

static int tell_handshake(struct ros_tls *tls, int code, struct err *err)
{
	switch (code) {
	case MBEDTLS_ERR_X509_FATAL_ERROR:
	case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
	case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
		if (tls->is_seen)
			return refused(tls, err);
		return err_set(err, -EPROTO, "the router's certificate cannot be read");
	case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
		return err_set(err, -EPROTO, "it refuses TLS: " REMEDY);
	case MBEDTLS_ERR_SSL_CONN_EOF:
	case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
	case MBEDTLS_ERR_NET_RECV_FAILED:
	case MBEDTLS_ERR_NET_SEND_FAILED:
		return err_set(err, -ECONNRESET, "it ends the handshake: " REMEDY);
	case MBEDTLS_ERR_SSL_BAD_INPUT_DATA: /* a record longer than records are */
	case MBEDTLS_ERR_SSL_INVALID_RECORD:
	case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE:
		return err_set(err, -EPROTO, "what answers does not speak TLS; is that port api-ssl's (8729)?");
	case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
	case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
	case MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER:
		return err_set(err, -EPROTO, "the router's TLS is too old or too weak; on the router: "
			       "/ip service set api-ssl tls-version=only-1.2");
	default:
		return err_set(err, -EPROTO, "the TLS handshake fails: mbedTLS says -0x%04x", (unsigned)-code);
	}
}

static int tell(struct ros_tls *tls, int code, struct err *err)
{
	switch (code) {
	case MBEDTLS_ERR_SSL_CONN_EOF:
	case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
		return err_set(err, -ECONNRESET, "the router closed the connection");
	case MBEDTLS_ERR_NET_RECV_FAILED:
		return err_sys(err, -tls->socket_error, "receive");
	case MBEDTLS_ERR_NET_SEND_FAILED:
		return err_sys(err, -tls->socket_error, "send");
	case MBEDTLS_ERR_SSL_INVALID_MAC:
		return err_set(err, -EPROTO, "TLS: a record was changed on its way");
	default:
		return err_set(err, -EPROTO, "TLS: mbedTLS says -0x%04x", (unsigned)-code);
	}
}

/* --- life ----------------------------------------------------------------------------------------- */

static int read_authorities(struct ros_tls *tls, struct err *err)
{
	const char *path = tls->settings->ca_file;
	uint8_t *text = malloc(LIMIT_ROS_CA_BYTES);
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	ssize_t length;

	if (!text) {
		r = err_sys(err, -ENOMEM, "ca_file %s", path);
		goto out;
	}
	length = fd < 0 ? -1 : read(fd, text, LIMIT_ROS_CA_BYTES);
	if (length < 0) {
		r = err_sys(err, -errno, "ca_file %s", path);
		goto out;
	}
	if (length == LIMIT_ROS_CA_BYTES) {
		r = err_set(err, -EMSGSIZE, "ca_file %s is larger than %d bytes", path, LIMIT_ROS_CA_BYTES - 1);
		goto out;
	}
	text[length] = '\0'; /* mbedTLS knows PEM by its end */
	r = mbedtls_x509_crt_parse(&tls->authorities, text, (size_t)length + 1);
	if (r > 0)
		r = err_set(err, -EINVAL, "ca_file %s: %d of its certificates cannot be read", path, r);
	else if (r < 0)
		r = err_set(err, -EINVAL, "ca_file %s holds no certificate in PEM form", path);
out:
	free(text);
	if (fd >= 0)
		close(fd);
	return r;
}

static int configure(struct ros_tls *tls, struct err *err)
{
	/* 6.x agrees on DHE only; ECDHE first, it costs less. */
	static const int suites[] = {
		MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		MBEDTLS_TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, 0,
	};
	bool is_verified = tls->settings->mode == CONFIG_TLS_VERIFIED;
	const struct parse_address *address = &tls->settings->address;
	char name[INET6_ADDRSTRLEN];
	int r;

	r = mbedtls_ssl_config_defaults(&tls->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
					MBEDTLS_SSL_PRESET_DEFAULT);
	if (r != 0)
		return err_set(err, -ENOMEM, "TLS: mbedTLS says -0x%04x", (unsigned)-r);
	mbedtls_ssl_conf_rng(&tls->config, fill_random, NULL);
	mbedtls_ssl_conf_ciphersuites(&tls->config, suites);
	mbedtls_ssl_conf_dhm_min_bitlen(&tls->config, 2048);
	mbedtls_ssl_conf_verify(&tls->config, judge, tls);
	/* OPTIONAL: without an authority mbedTLS has nothing to say; judge() ends the handshake itself. */
	mbedtls_ssl_conf_authmode(&tls->config, is_verified ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_OPTIONAL);
	if (is_verified) {
		r = read_authorities(tls, err);
		if (r < 0)
			return r;
		mbedtls_ssl_conf_ca_chain(&tls->config, &tls->authorities, NULL);
	}
	r = mbedtls_ssl_setup(&tls->ssl, &tls->config);
	if (r == 0 && !inet_ntop(address->family, &address->v4, name, sizeof(name)))
		return err_sys(err, -errno, "the router's address");
	if (r == 0)
		r = mbedtls_ssl_set_hostname(&tls->ssl, is_verified ? name : NULL);
	if (r != 0)
		return err_set(err, -ENOMEM, "TLS: mbedTLS says -0x%04x", (unsigned)-r);
	mbedtls_ssl_set_bio(&tls->ssl, tls, send_some, receive_some, NULL);
	return 0;
}

int ros_tls_create(const struct ros_tls_settings *settings, int fd, struct ros_tls **ret_tls, struct err *err)
{
	struct ros_tls *tls;
	int r;

	if (!random_is_ready())
		return err_set(err, -EAGAIN, "TLS: the kernel has not gathered its random numbers yet");
	tls = calloc(1, sizeof(*tls));
	if (!tls)
		return err_sys(err, -ENOMEM, "TLS");
	tls->settings = settings;
	tls->fd = fd;
	mbedtls_ssl_init(&tls->ssl);
	mbedtls_ssl_config_init(&tls->config);
	mbedtls_x509_crt_init(&tls->authorities);
	r = configure(tls, err);
	if (r < 0) {
		ros_tls_destroy(tls);
		return r;
	}
	*ret_tls = tls;
	return 0;
}

void ros_tls_destroy(struct ros_tls *tls)
{
	if (!tls)
		return;
	/* Whether it goes out changes nothing: the socket is closed next. */
	if (tls->is_accepted && tls->socket_error == 0 && tls->pending == 0)
		(void)mbedtls_ssl_close_notify(&tls->ssl);
	mbedtls_ssl_free(&tls->ssl);
	mbedtls_ssl_config_free(&tls->config);
	mbedtls_x509_crt_free(&tls->authorities);
	mbedtls_platform_zeroize(tls, sizeof(*tls));
	free(tls);
}

int ros_tls_handshake(struct ros_tls *tls, struct err *err)
{
	int r;

	begin_turn(tls);
	r = mbedtls_ssl_handshake(&tls->ssl);
	if (r == MBEDTLS_ERR_SSL_WANT_READ || r == MBEDTLS_ERR_SSL_WANT_WRITE)
		return -EAGAIN;
	if (r != 0)
		return tell_handshake(tls, r, err);
	return tls->is_accepted ? 0 : refused(tls, err);
}

ssize_t ros_tls_receive(struct ros_tls *tls, void *bytes, size_t size, struct err *err)
{
	int r;

	begin_turn(tls);
	r = mbedtls_ssl_read(&tls->ssl, bytes, size);
	if (r > 0)
		return r;
	if (r == MBEDTLS_ERR_SSL_WANT_READ)
		return -EAGAIN;
	/* WANT_WRITE: an answer to a renegotiation stays in mbedTLS, where the next record of ours belongs. */
	return tell(tls, r == 0 ? MBEDTLS_ERR_SSL_CONN_EOF : r, err);
}

ssize_t ros_tls_send(struct ros_tls *tls, const void *bytes, size_t length, struct err *err)
{
	int r;

	begin_turn(tls);
	r = mbedtls_ssl_write(&tls->ssl, bytes, tls->pending > 0 ? tls->pending : length);
	if (r == MBEDTLS_ERR_SSL_WANT_READ || r == MBEDTLS_ERR_SSL_WANT_WRITE) {
		if (tls->pending == 0)
			tls->pending = length;
		return -EAGAIN;
	}
	tls->pending = 0;
	return r < 0 ? tell(tls, r, err) : r;
}

bool ros_tls_is_blocked(const struct ros_tls *tls)
{
	return tls->is_blocked;
}

bool ros_tls_has_more(const struct ros_tls *tls)
{
	return mbedtls_ssl_check_pending(&tls->ssl) != 0;
}
