/*
 * netlink: see netlink.h. The kernel is trusted more than the internet, but its messages carry
 * lengths, and names that others chose; so every length is checked against what is there before a
 * byte is read, and values are copied because attributes are only aligned to four bytes.
 *
 * A writer that failed keeps quiet until the caller looks: each put checks room once, in nl_room(),
 * and message and nest lengths are filled in when they end.
 *
 * Callers: nl_socket.c (results), nft.c (all of nf_tables), linux_*.c.
 */
#include "agent/router/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <string.h>

#define HEADER_BYTES sizeof(struct nlattr)
#define TYPE_MASK ((unsigned)~(NLA_F_NESTED | NLA_F_NET_BYTEORDER))
#define ALIGN4(n) (((n) + 3u) & ~(size_t)3u)

void nl_writer_init(struct nl_writer *writer, void *data, size_t size)
{
	*writer = (struct nl_writer){.data = data, .size = size};
}

/* Room for `length` bytes padded to four, zeroed; NULL when it does not fit. */
static uint8_t *nl_room(struct nl_writer *writer, size_t length)
{
	size_t padded = ALIGN4(length);
	uint8_t *at;

	if (writer->failed || length > writer->size || padded > writer->size - writer->length) {
		writer->failed = true;
		return NULL;
	}
	at = writer->data + writer->length;
	memset(at, 0, padded);
	writer->length += padded;
	return at;
}

void nl_begin(struct nl_writer *writer, uint16_t type, uint16_t flags, uint32_t sequence)
{
	struct nlmsghdr header = {.nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = sequence};
	size_t message = writer->length;
	uint8_t *at = nl_room(writer, sizeof(header));

	if (!at)
		return;
	memcpy(at, &header, sizeof(header));
	writer->message = message;
}

void nl_end(struct nl_writer *writer)
{
	uint32_t length = (uint32_t)(writer->length - writer->message);

	if (!writer->failed)
		memcpy(writer->data + writer->message + offsetof(struct nlmsghdr, nlmsg_len), &length, sizeof(length));
}

void nl_add_flags(struct nl_writer *writer, uint16_t flags)
{
	uint8_t *at = writer->data + writer->message + offsetof(struct nlmsghdr, nlmsg_flags);
	uint16_t value;

	if (writer->failed || writer->length < sizeof(struct nlmsghdr))
		return;
	memcpy(&value, at, sizeof(value));
	value |= flags;
	memcpy(at, &value, sizeof(value));
}

void nl_put(struct nl_writer *writer, const void *bytes, size_t length)
{
	uint8_t *at = nl_room(writer, length);

	if (at)
		memcpy(at, bytes, length);
}

void nl_attr(struct nl_writer *writer, unsigned type, const void *bytes, size_t length)
{
	struct nlattr header = {.nla_type = (uint16_t)type, .nla_len = (uint16_t)(HEADER_BYTES + length)};
	uint8_t *at;

	if (length > UINT16_MAX - HEADER_BYTES) {
		writer->failed = true;
		return;
	}
	at = nl_room(writer, HEADER_BYTES + length);
	if (!at)
		return;
	memcpy(at, &header, sizeof(header));
	if (length > 0)
		memcpy(at + HEADER_BYTES, bytes, length);
}

void nl_attr_u8(struct nl_writer *writer, unsigned type, uint8_t value)
{
	nl_attr(writer, type, &value, sizeof(value));
}

void nl_attr_u32(struct nl_writer *writer, unsigned type, uint32_t value)
{
	nl_attr(writer, type, &value, sizeof(value));
}

void nl_attr_be32(struct nl_writer *writer, unsigned type, uint32_t value)
{
	nl_attr_u32(writer, type, htonl(value));
}

void nl_attr_string(struct nl_writer *writer, unsigned type, const char *value)
{
	nl_attr(writer, type, value, strlen(value) + 1);
}

size_t nl_nest(struct nl_writer *writer, unsigned type)
{
	size_t nest = writer->length;

	nl_attr(writer, type | NLA_F_NESTED, NULL, 0);
	return nest;
}

void nl_nest_end(struct nl_writer *writer, size_t nest)
{
	size_t length = writer->length - nest;
	uint16_t value = (uint16_t)length;

	if (writer->failed)
		return;
	if (length > UINT16_MAX) {
		writer->failed = true;
		return;
	}
	memcpy(writer->data + nest + offsetof(struct nlattr, nla_len), &value, sizeof(value));
}

void nl_reader_init(struct nl_reader *reader, const void *data, size_t length)
{
	*reader = (struct nl_reader){.data = data, .length = length};
}

/* Copies the header of the next item and returns where that stands; NULL at the end and on failure. */
static const uint8_t *nl_peek(struct nl_reader *reader, void *ret_header, size_t size)
{
	const uint8_t *at = reader->data + reader->offset;
	size_t rest = reader->length - reader->offset;

	if (reader->failed || rest == 0)
		return NULL;
	if (rest < size) {
		reader->failed = true;
		return NULL;
	}
	memcpy(ret_header, at, size);
	return at;
}

/* Steps over an item of `length` bytes with its header of `size`; the last item's padding may be missing. */
static bool nl_advance(struct nl_reader *reader, size_t length, size_t size)
{
	size_t rest = reader->length - reader->offset;
	size_t step = ALIGN4(length);

	if (length < size || length > rest) {
		reader->failed = true;
		return false;
	}
	reader->offset += step < rest ? step : rest;
	return true;
}

bool nl_next_message(struct nl_reader *reader, struct nl_message *ret_message)
{
	struct nlmsghdr header;
	const uint8_t *at = nl_peek(reader, &header, sizeof(header));

	if (!at || !nl_advance(reader, header.nlmsg_len, sizeof(header)))
		return false;
	*ret_message = (struct nl_message){
		.type = header.nlmsg_type,
		.flags = header.nlmsg_flags,
		.sequence = header.nlmsg_seq,
		.port = header.nlmsg_pid,
		.body = at + sizeof(header),
		.length = header.nlmsg_len - sizeof(header),
	};
	return true;
}

bool nl_message_header(const struct nl_message *message, void *ret_header, size_t size, struct nl_reader *ret_attrs)
{
	size_t used = ALIGN4(size);

	nl_reader_init(ret_attrs, message->body, message->length);
	if (message->length < size) {
		ret_attrs->failed = true;
		return false;
	}
	memcpy(ret_header, message->body, size);
	ret_attrs->offset = used < message->length ? used : message->length;
	return true;
}

bool nl_next_attr(struct nl_reader *reader, struct nl_attr *ret_attr)
{
	struct nlattr header;
	const uint8_t *at = nl_peek(reader, &header, sizeof(header));

	if (!at || !nl_advance(reader, header.nla_len, sizeof(header)))
		return false;
	*ret_attr = (struct nl_attr){
		.type = (uint16_t)(header.nla_type & TYPE_MASK),
		.data = at + sizeof(header),
		.length = header.nla_len - sizeof(header),
	};
	return true;
}

void nl_enter(const struct nl_attr *attr, struct nl_reader *ret_attrs)
{
	nl_reader_init(ret_attrs, attr->data, attr->length);
}

void nl_get_bytes(struct nl_reader *reader, const struct nl_attr *attr, void *ret_bytes, size_t length)
{
	if (attr->length != length) {
		reader->failed = true;
		memset(ret_bytes, 0, length);
		return;
	}
	memcpy(ret_bytes, attr->data, length);
}

uint8_t nl_get_u8(struct nl_reader *reader, const struct nl_attr *attr)
{
	uint8_t value;

	nl_get_bytes(reader, attr, &value, sizeof(value));
	return value;
}

uint32_t nl_get_u32(struct nl_reader *reader, const struct nl_attr *attr)
{
	uint32_t value;

	nl_get_bytes(reader, attr, &value, sizeof(value));
	return value;
}

uint32_t nl_get_be32(struct nl_reader *reader, const struct nl_attr *attr)
{
	return ntohl(nl_get_u32(reader, attr));
}

void nl_get_string(struct nl_reader *reader, const struct nl_attr *attr, char *ret_text, size_t size)
{
	size_t length = strnlen((const char *)attr->data, attr->length);

	if (length >= size) {
		reader->failed = true;
		length = 0;
	}
	memcpy(ret_text, attr->data, length);
	ret_text[length] = '\0';
}

void nl_get_string_cut(const struct nl_attr *attr, char *ret_text, size_t size)
{
	size_t length = strnlen((const char *)attr->data, attr->length < size ? attr->length : size - 1);

	memcpy(ret_text, attr->data, length);
	ret_text[length] = '\0';
}

bool nl_find(const struct nl_attr *nest, unsigned type, struct nl_attr *ret_attr)
{
	struct nl_reader reader;
	struct nl_attr attr;

	nl_enter(nest, &reader);
	while (nl_next_attr(&reader, &attr)) {
		if (attr.type == type) {
			*ret_attr = attr;
			return true;
		}
	}
	return false;
}

/* The extended acknowledgement: attributes behind the echoed request (only its header when capped). */
static void nl_read_explanation(const struct nl_message *message, struct nl_result *result)
{
	struct nl_reader reader;
	struct nl_attr attr;
	struct nlmsghdr echoed;
	size_t skip = sizeof(struct nlmsgerr);

	memcpy(&echoed, message->body + offsetof(struct nlmsgerr, msg), sizeof(echoed));
	if (!(message->flags & NLM_F_CAPPED) && echoed.nlmsg_len > sizeof(echoed))
		skip += ALIGN4((size_t)echoed.nlmsg_len - sizeof(echoed));
	if (skip > message->length)
		return;
	nl_reader_init(&reader, message->body + skip, message->length - skip);
	while (nl_next_attr(&reader, &attr)) {
		if (attr.type == NLMSGERR_ATTR_MSG)
			nl_get_string(&reader, &attr, result->explanation, sizeof(result->explanation));
	}
}

int nl_read_result(const struct nl_message *message, struct nl_result *ret_result)
{
	struct nl_result result = {0};
	int32_t error;

	if (message->length < sizeof(error))
		return -EBADMSG;
	memcpy(&error, message->body, sizeof(error));
	result.error = error > 0 ? -error : error;
	if (message->type == NLMSG_ERROR) {
		if (message->length < sizeof(struct nlmsgerr))
			return -EBADMSG;
		if (message->flags & NLM_F_ACK_TLVS)
			nl_read_explanation(message, &result);
	}
	*ret_result = result;
	return 0;
}
