/*
 * wiretool: our codec, for tests whose other side is protoc.
 *
 *   wiretool dump TYPE     packed message on stdin -> protobuf text format on stdout
 *   wiretool repack TYPE   packed message on stdin -> unpacked and packed again by our codec
 *
 * Exit 1 when the bytes are not such a message, 2 on wrong usage. The text is printed by walking
 * protobuf-c's descriptors, so that a field that our decoder loses is missing from it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/wire.h"

static _Alignas(8) uint8_t arena_memory[4 * LIMIT_BODY_BYTES];
static uint8_t input[LIMIT_BODY_BYTES];
static char output[2 * LIMIT_BODY_BYTES];

static const ProtobufCMessageDescriptor *const types[] = {
	&jaga__v1__hello__descriptor,	      &jaga__v1__hello_ack__descriptor, &jaga__v1__telemetry_batch__descriptor,
	&jaga__v1__ack__descriptor,	      &jaga__v1__wake__descriptor,	&jaga__v1__signed_job__descriptor,
	&jaga__v1__job__descriptor,	      &jaga__v1__job_state__descriptor, &jaga__v1__confirm_ack__descriptor,
	&jaga__v1__doctor_report__descriptor,
	&jaga__v1__enroll_req__descriptor,    &jaga__v1__enroll_rsp__descriptor,
};

static const ProtobufCMessageDescriptor *find_type(const char *name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i]->short_name, name) == 0)
			return types[i];
	return NULL;
}

static void print_message(const ProtobufCMessage *message);

static void print_quoted(const uint8_t *bytes, size_t length)
{
	putchar('"');
	for (size_t i = 0; i < length; i++)
		printf("\\%03o", bytes[i]);
	putchar('"');
}

static void print_value(const ProtobufCFieldDescriptor *field, const void *at)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_ENUM:
		printf(": %" PRId32, *(const int32_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT32:
		printf(": %" PRIu32, *(const uint32_t *)at);
		break;
	case PROTOBUF_C_TYPE_INT64:
		printf(": %" PRId64, *(const int64_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT64:
		printf(": %" PRIu64, *(const uint64_t *)at);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		printf(": %s", *(const protobuf_c_boolean *)at ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_STRING: {
		const char *text = *(char *const *)at;

		printf(": ");
		print_quoted((const uint8_t *)text, strlen(text));
		break;
	}
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *bytes = at;

		printf(": ");
		print_quoted(bytes->data, bytes->len);
		break;
	}
	case PROTOBUF_C_TYPE_MESSAGE:
		printf(" {\n");
		print_message(*(ProtobufCMessage *const *)at);
		printf("}");
		break;
	default:
		fprintf(stderr, "wiretool: field %s has a type that proto/jaga.proto did not have\n", field->name);
		exit(2);
	}
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		return 8;
	default:
		return 4;
	}
}

static void print_field(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const char *member = (const char *)message + field->offset;

	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t n = *(const size_t *)((const char *)message + field->quantifier_offset);

		for (size_t i = 0; i < n; i++) {
			printf("%s", field->name);
			print_value(field, *(const char *const *)member + i * value_size(field));
			printf("\n");
		}
		return;
	}
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
	    *(const uint32_t *)((const char *)message + field->quantifier_offset) != field->id)
		return;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE && !*(ProtobufCMessage *const *)member)
		return;
	printf("%s", field->name);
	print_value(field, member);
	printf("\n");
}

static void print_message(const ProtobufCMessage *message)
{
	for (unsigned i = 0; i < message->descriptor->n_fields; i++)
		print_field(message, &message->descriptor->fields[i]);
}

int main(int argc, char **argv)
{
	const ProtobufCMessageDescriptor *type = argc == 3 ? find_type(argv[2]) : NULL;
	ProtobufCMessage *message;
	struct wire_arena arena;
	struct buf packed;
	size_t length;

	if (!type || (strcmp(argv[1], "dump") != 0 && strcmp(argv[1], "repack") != 0)) {
		fprintf(stderr, "usage: wiretool dump|repack TYPE < packed\n");
		return 2;
	}
	length = fread(input, 1, sizeof(input), stdin);
	wire_arena_init(&arena, arena_memory, sizeof(arena_memory));
	if (wire_unpack(&arena, type, input, length, &message) < 0) {
		fprintf(stderr, "wiretool: not a %s\n", argv[2]);
		return 1;
	}
	if (strcmp(argv[1], "dump") == 0) {
		print_message(message);
		return 0;
	}
	buf_init(&packed, output, sizeof(output));
	if (wire_pack(message, &packed) < 0)
		return 1;
	return fwrite(packed.data, 1, packed.length, stdout) == packed.length ? 0 : 1;
}
