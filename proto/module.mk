# The generated codec is part of libcommon; it is compiled with relaxed warnings, it is not ours.
PROTO_C := $(B)/gen/jaga.pb-c.c
$(PROTO_C) $(B)/gen/jaga.pb-c.h &: proto/jaga.proto
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(B)/gen && protoc-c --proto_path=proto --c_out=$(B)/gen $<
