# Sources of jaga-agent; each subsystem adds its own lines.
AGENT_SRCS +=
AGENT_SRCS += agent/main.c agent/agent.c agent/child.c agent/commands.c agent/condition.c agent/doctor.c agent/local.c agent/local_client.c agent/maintenance.c agent/prelude.c agent/remote.c agent/remote_doctor.c \
	agent/config.c agent/config_check.c agent/config_defaults.c agent/config_fields.c agent/config_routeros.c agent/config_setters.c agent/report.c agent/report_watch.c agent/snapshot.c agent/spool.c agent/steer.c \
	agent/script.c agent/script_serve.c agent/script_unit.c agent/system.c agent/table.c agent/upkeep.c agent/job/confirm.c agent/job/journal.c agent/job/journal_writer.c agent/job/reason.c agent/job/runner.c agent/job/runner_steps.c
AGENT_SRCS += agent/router/canonical.c agent/router/linux_save.c agent/router/linux_script.c agent/router/linux_snapshot.c
AGENT_SRCS += agent/uplink/balance.c agent/uplink/detector.c agent/uplink/engine.c agent/uplink/rtt.c
AGENT_SRCS += agent/probe/echo.c agent/probe/icmp.c
AGENT_SRCS += agent/router/linux.c agent/router/linux_conntrack.c agent/router/linux_doctor.c agent/router/linux_doctor_facts.c \
	agent/router/linux_doctor_net.c agent/router/linux_doctor_nft.c agent/router/linux_doctor_rules.c agent/router/linux_dump.c agent/router/linux_event.c \
	agent/router/linux_gateway.c agent/router/linux_link.c agent/router/linux_nft.c agent/router/linux_nft_maps.c agent/router/linux_nft_read.c \
	agent/router/linux_nft_rules.c agent/router/linux_route.c agent/router/linux_rule.c agent/router/linux_sysctl.c \
	agent/router/netlink.c agent/router/nft.c agent/router/nl_socket.c agent/router/router.c
# Which drivers a target's program holds: toolchain/TARGET.mk. driver.c knows all, driver_linux.c says what is missing. Targets
# with one driver have it for lack of flash, and have jobs come as they are too.
ifeq ($(filter routeros,$(TARGET_DRIVERS)),)
AGENT_SRCS += agent/router/driver_linux.c agent/inflate_none.c
else
AGENT_SRCS += agent/router/driver.c agent/inflate.c
AGENT_SRCS += agent/router/ros_api.c agent/router/ros_codec.c agent/router/ros_export.c agent/router/ros_ftp.c agent/router/ros_plan.c agent/router/ros_row.c agent/router/ros_script.c \
	agent/router/ros_pin.c agent/router/ros_stream.c agent/router/ros_tls.c agent/router/routeros.c agent/router/routeros_doctor.c \
	agent/router/routeros_doctor_device.c agent/router/routeros_doctor_facts.c agent/router/routeros_doctor_lines.c \
	agent/router/routeros_doctor_mangle.c agent/router/routeros_doctor_marks.c agent/router/routeros_doctor_rivals.c \
	agent/router/routeros_doctor_routes.c agent/router/routeros_keep.c \
	agent/router/routeros_live.c agent/router/routeros_read.c agent/router/routeros_site.c agent/router/routeros_snapshot.c agent/router/routeros_steer.c
AGENT_SRCS += agent/router/ros_watch.c agent/router/routeros_modem.c agent/router/routeros_monitor.c agent/router/routeros_monitor_row.c
AGENT_SRCS += agent/router/ros_lease.c agent/router/routeros_lease.c
AGENT_SRCS += agent/router/ros_actions.c agent/router/ros_scan.c agent/router/ros_way_back.c agent/router/routeros_execute.c agent/router/routeros_prove.c agent/router/routeros_save.c agent/router/routeros_script.c agent/router/routeros_undo.c
endif
AGENT_SRCS += agent/link.c agent/link_exchange.c agent/link_report.c agent/link_session.c agent/link_transfer.c

# libcoap's glue is compiled for each side, against that side's libcoap.
$(B)/libagent.a: $(B)/obj/agent/coap_ev.o
$(B)/obj/agent/coap_ev.o: common/coap_ev.c $(DEPS_AGENT_STAMP)
	$(call say,CC,$< (agent))
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) $(AGENT_CFLAGS) -c -o $@ $<

# A shell's text as a C string: without comments, blank lines and indentation, which routers need not carry.
$(B)/obj/agent/router/linux_save.o: $(B)/gen/linux_save.inc
$(B)/gen/linux_save.inc: agent/router/linux_save.sh agent/module.mk
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D) && sed -e 's/^[[:space:]]*//' -e '/^#/d' -e '/^$$/d' -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n"/' $< >$@
