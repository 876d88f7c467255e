/*
 * config: the agent's file, INI or OpenWrt's UCI, made into one validated, immutable structure.
 *
 * All errors of a file are collected (up to LIMIT_INI_ERRORS), each as "file:line: [section] field:
 * what is wrong; remedy". Nothing on the router is touched before a file is whole. See
 * docs/agent.conf.example for the format and jaga-agent(8).
 */
#ifndef JAGA_AGENT_CONFIG_H
#define JAGA_AGENT_CONFIG_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/limits.h"
#include "common/parse.h"

enum config_hash {
	CONFIG_HASH_BOTH_ADDRESSES, /* default: one user keeps one public address per destination */
	CONFIG_HASH_SOURCE,	    /* sticky: one user keeps one uplink */
	CONFIG_HASH_BOTH_ADDRESSES_AND_PORTS,
};

enum config_gateway {
	CONFIG_GATEWAY_AUTO,	      /* the interface's own default route, whatever made it (DHCP client, PPP) */
	CONFIG_GATEWAY_ADDRESS,
	CONFIG_GATEWAY_NONE,	      /* point-to-point: the interface is the gateway; v6: no IPv6 here */
};

enum config_driver {
	CONFIG_DRIVER_LINUX,	/* the uplinks are this machine's */
	CONFIG_DRIVER_ROUTEROS, /* they are those of the RouterOS router named in [router] */
};

/* What is watched on a RouterOS router, in the order of routeros_monitor.c. */
enum config_monitor {
	CONFIG_MONITOR_RESOURCES,
	CONFIG_MONITOR_PPP,
	CONFIG_MONITOR_HOTSPOT,
	CONFIG_MONITOR_OSPF,
	CONFIG_MONITOR_BGP,
	CONFIG_MONITOR_L2TP,
	CONFIG_MONITOR_INTERFACES,
	CONFIG_MONITOR_NETWATCH,
	CONFIG_MONITOR_LTE,
	CONFIG_MONITORS,
};

enum config_tls {
	CONFIG_TLS_OFF,
	CONFIG_TLS_PINNED,   /* the router's certificate is known by its SHA-256 */
	CONFIG_TLS_VERIFIED, /* it is signed by an authority of ca_file, and made out for the router's address */
};

struct config_uplink {
	char name[LIMIT_NAME];
	char interface[LIMIT_INTERFACE];
	enum config_gateway gateway_kind[2]; /* [0] IPv4, [1] IPv6 */
	struct in_addr gateway4;
	struct in6_addr gateway6;
	uint32_t weight; /* 1..100, share of new flows within its tier */
	uint32_t tier;	 /* 1..16; a higher tier carries flows only when all lower ones are down */
	bool nat;	 /* masquerade IPv4 (and IPv6 when nat6) that leaves here */
	bool nat6;
	bool metered;	 /* sparse probing at rest */
	unsigned n_targets;
	struct parse_address targets[LIMIT_TARGETS];
	unsigned quorum; /* targets that must answer for a probe round to count; default 1 */
	int64_t probe_interval_us;
	int64_t timeout_min_us; /* clamp of the learnt time-out */
	int64_t timeout_max_us;
	/* with RouterOS, both IPv4 */
	bool has_source, has_check_host;
	struct parse_address source;	 /* of this machine: what it sends from here the router sends over this line */
	struct parse_address check_host; /* by which the router itself checks this line */
};

struct agent_config {
	bool is_enabled; /* no: the service does not start; everything else works */
	bool take_over;	 /* no, or no uplinks: the agent watches; nothing is installed or probed */
	char identity[LIMIT_NAME];
	struct parse_address collector;
	bool has_collector;	    /* false: the agent keeps the router online and tells nobody */
	char key_file[LIMIT_PATH];  /* 64 hexadecimal digits, mode 0600 */
	char state_dir[LIMIT_PATH]; /* journal, saved sysctls */
	char socket_path[LIMIT_PATH];
	bool scripts_unsigned;	    /* scripts = unsigned */
	char script_socket[LIMIT_PATH]; /* --script-socket, not of the file: who runs scripts as root; "": the agent itself */
	char script_reload[LIMIT_PATH]; /* applies files that were put back; "": OpenWrt knows its own, elsewhere nothing */
	uint32_t mark_field;	    /* contiguous bits of packet and connection marks that Jaga owns */
	enum config_hash hash;
	unsigned n_buckets;
	uint32_t table_base;	    /* routing table of uplink i is table_base + i */
	uint32_t rule_base;	    /* first preference of our ip rules */
	int64_t sample_interval_ms;
	uint32_t spool_bytes;

	enum config_driver driver;
	bool has_router;
	char router_name[LIMIT_HOST]; /* its address as it was written */
	struct parse_address router;
	char router_user[LIMIT_NAME];
	char password_file[LIMIT_PATH]; /* "": the password is empty */
	enum config_tls tls;
	bool has_pin;
	uint8_t pin[LIMIT_ROS_PIN_BYTES];
	char ca_file[LIMIT_PATH]; /* "": none */

	unsigned n_lans;
	char lans[LIMIT_LANS][LIMIT_INTERFACE];
	unsigned n_uplinks;
	struct config_uplink uplinks[LIMIT_UPLINKS];

	unsigned n_snapshot_files;	/* glob patterns */
	char snapshot_files[LIMIT_SNAPSHOT_SOURCES][LIMIT_PATH];
	unsigned n_snapshot_commands;	/* run by /bin/sh -c, read only */
	char snapshot_commands[LIMIT_SNAPSHOT_SOURCES][LIMIT_PATH];
	int64_t snapshot_interval_ms;

	int64_t monitor_ms[CONFIG_MONITORS]; /* between two readings; 0: off */
};

/*
 * Reads and validates the file at path. Writes every error as a line to `errors` (not NULL).
 * Returns 0, -EINVAL when there were errors, or the errno of opening the file.
 */
int config_load(const char *path, FILE *errors, struct agent_config *ret_config);

/* Index of the uplink with that name, or -ENOENT. */
int config_find_uplink(const struct agent_config *config, const char *name);

#endif
