# Sources of jaga-agent; each subsystem adds its own lines.
AGENT_SRCS +=
AGENT_SRCS += agent/child.c agent/config.c agent/config_check.c agent/config_fields.c agent/report.c agent/spool.c agent/steer.c agent/system.c agent/table.c
AGENT_SRCS += agent/uplink/balance.c agent/uplink/detector.c agent/uplink/engine.c agent/uplink/rtt.c
AGENT_SRCS += agent/probe/echo.c agent/probe/icmp.c
