/*
 * netlink: messages of the kernel's netlink protocol written and read, nothing else: no socket,
 * no allocation. Our own because the tarballs of libmnl and libnftnl cannot be had for every target.
 *
 *   nlmsghdr | family header (ifinfomsg, nfgenmsg, ...) | attribute | attribute | ...
 *   attribute: length 16, type 16, value, padding to 4; a nested attribute's value is attributes
 *
 * Writing fails stickily when memory runs out, reading when a length lies; both are checked once, at
 * the end. All integers are in host order unless a name says be. See netlink(7) and linux/netlink.h.
 */
#ifndef JAGA_AGENT_ROUTER_NETLINK_H
#define JAGA_AGENT_ROUTER_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- writing --- */

struct nl_writer {
	uint8_t *data; /* the caller's */
	size_t size;
	size_t length;	/* bytes written */
	size_t message; /* where the newest message begins */
	bool failed;	/* something did not fit: nothing of it may be sent */
};

/* data must be aligned for struct nlmsghdr (4 bytes). */
void nl_writer_init(struct nl_writer *writer, void *data, size_t size);
/* Opens a message; it ends where nl_end() is called. */
void nl_begin(struct nl_writer *writer, uint16_t type, uint16_t flags, uint32_t sequence);
void nl_end(struct nl_writer *writer);
/* Adds flags to the newest message. */
void nl_add_flags(struct nl_writer *writer, uint16_t flags);
/* A family header, padded to 4 bytes. */
void nl_put(struct nl_writer *writer, const void *bytes, size_t length);

void nl_attr(struct nl_writer *writer, unsigned type, const void *bytes, size_t length);
void nl_attr_u8(struct nl_writer *writer, unsigned type, uint8_t value);
void nl_attr_u32(struct nl_writer *writer, unsigned type, uint32_t value);
void nl_attr_be32(struct nl_writer *writer, unsigned type, uint32_t value);
void nl_attr_string(struct nl_writer *writer, unsigned type, const char *value); /* with its NUL */
/* Opens a nested attribute; the result goes to nl_nest_end(). */
size_t nl_nest(struct nl_writer *writer, unsigned type);
void nl_nest_end(struct nl_writer *writer, size_t nest);

/* --- reading --- */

struct nl_reader {
	const uint8_t *data; /* the caller's, alive as long as messages and attributes read from it */
	size_t length;
	size_t offset;
	bool failed; /* a length pointed outside, or a value had the wrong size */
};

struct nl_message {
	uint16_t type;
	uint16_t flags;
	uint32_t sequence;
	uint32_t port;
	const uint8_t *body; /* behind nlmsghdr */
	size_t length;
};

struct nl_attr {
	uint16_t type; /* without the nested and byte-order flags */
	const uint8_t *data;
	size_t length;
};

void nl_reader_init(struct nl_reader *reader, const void *data, size_t length);
/* False at the end and on failure (reader->failed tells which). */
bool nl_next_message(struct nl_reader *reader, struct nl_message *ret_message);
/* Copies the family header and sets *ret_attrs on what follows; false (and failed) when it is cut short. */
bool nl_message_header(const struct nl_message *message, void *ret_header, size_t size, struct nl_reader *ret_attrs);
bool nl_next_attr(struct nl_reader *reader, struct nl_attr *ret_attr);
void nl_enter(const struct nl_attr *attr, struct nl_reader *ret_attrs);

/* Values. A wrong size fails the reader and gives 0 (an empty string). */
uint8_t nl_get_u8(struct nl_reader *reader, const struct nl_attr *attr);
uint32_t nl_get_u32(struct nl_reader *reader, const struct nl_attr *attr);
uint32_t nl_get_be32(struct nl_reader *reader, const struct nl_attr *attr);
void nl_get_bytes(struct nl_reader *reader, const struct nl_attr *attr, void *ret_bytes, size_t length);
/* Up to the first NUL or the attribute's end; longer than size - 1 fails. */
void nl_get_string(struct nl_reader *reader, const struct nl_attr *attr, char *ret_text, size_t size);

/* For names of others that are only shown: what does not fit is cut. */
void nl_get_string_cut(const struct nl_attr *attr, char *ret_text, size_t size);
/* The first attribute of that type inside a nested one; false when there is none. */
bool nl_find(const struct nl_attr *nest, unsigned type, struct nl_attr *ret_attr);

/* An NLMSG_ERROR (error 0: acknowledged) or NLMSG_DONE message. */
struct nl_result {
	int error;	     /* 0 or negative errno */
	char explanation[96]; /* the kernel's extended acknowledgement, or "" */
};
/* -EBADMSG when it is cut short. */
int nl_read_result(const struct nl_message *message, struct nl_result *ret_result);

#endif
