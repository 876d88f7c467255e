# Sources of jaga-agent; each subsystem adds its own lines.
AGENT_SRCS +=
AGENT_SRCS += agent/spool.c
