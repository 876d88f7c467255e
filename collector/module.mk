# Sources of jaga-collector and of jaga (cli/).
COLLECTOR_SRCS += $(addprefix collector/, main.c collector.c config.c doctor.c ctl.c ctl_ask.c ctl_doctor.c ctl_events.c ctl_fleet.c ctl_jobs.c \
	ctl_output.c ctl_request.c ctl_snapshots.c ctl_status.c ctl_take.c fleet.c ingest.c ingest_message.c ingest_rows.c ingest_watch.c jobs.c \
	jobs_step.c json_row.c lane.c ports.c presence.c snapshots.c store_lmdb.c store_lmdb_devices.c store_lmdb_events.c \
	store_lmdb_jobs.c store_lmdb_snapshots.c worker.c writer.c)
COLLECTOR_SRCS += collector/ctl_watch.c collector/fleet_watch.c
COLLECTOR_SRCS += collector/coap.c collector/coap_cookie.c collector/coap_peer.c collector/coap_reply.c collector/coap_request.c \
	collector/coap_route.c collector/coap_source.c
CLI_SRCS += $(addprefix collector/cli/, main.c agent_conf.c args.c client.c diff.c failure.c human.c invocation.c \
	job_view.c many.c nearest.c render.c render_json.c render_kv.c render_lines.c render_table.c row.c sanitise.c \
	sentence.c snapshot_text.c watched_view.c cmd_cat.c cmd_devices.c cmd_diff.c cmd_doctor.c cmd_enroll.c cmd_events.c cmd_job.c cmd_jobs.c \
	cmd_push.c cmd_remove.c cmd_show.c cmd_snapshots.c cmd_status.c push_all.c)

# The commented example becomes part of `jaga enroll`: a C string, line by line.
$(B)/obj/collector/cli/agent_conf.o: $(B)/gen/agent_conf_example.inc
$(B)/gen/agent_conf_example.inc: docs/agent.conf.example
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D) && sed -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n"/' $< >$@

# libcoap's glue is compiled for each side, against that side's libcoap.
$(B)/libcollector.a: $(B)/obj/collector/coap_ev.o
$(B)/obj/collector/coap_ev.o: common/coap_ev.c $(DEPS_COLLECTOR_STAMP)
	$(call say,CC,$< (collector))
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) $(COLLECTOR_CFLAGS) -c -o $@ $<
