/*
 * limits: every cap of Jaga, each with its reason. Nothing else in the tree
 * invents a limit; a module adds its own in a block of its own.
 */
#ifndef JAGA_COMMON_LIMITS_H
#define JAGA_COMMON_LIMITS_H

/* --- text ------------------------------------------------------------------------------- */
#define LIMIT_ERR_TEXT 320	 /* two terminal lines and a path: longer is not read at night */
#define LIMIT_LOG_LINE 512	 /* one datagram to journald, no line is cut by syslog (1 KiB) */
#define LIMIT_NAME 32		 /* device, uplink names: fit a table column; DTLS identity too */
#define LIMIT_PATH 256		 /* configured paths; far above what routers use */
#define LIMIT_HOST 64		 /* numeric IPv6 with scope and port fits */
#define LIMIT_INI_LINE 199	 /* Debian's inih cuts at 200; a longer line is an error, not two */
#define LIMIT_INI_ERRORS 20	 /* errors shown for one file; more are the same mistake again */

/* --- forwarding plan ------------------------------------------------------------------------ */
#define LIMIT_UPLINKS 16	 /* 8 mark bits would allow 254; nobody has more lines, arrays stay small */
#define LIMIT_LANS 16		 /* LAN interfaces named in the configuration */
#define LIMIT_BUCKETS 64	 /* 1.6 % steps of sharing; 135 us for a whole batch (64 elements) */
#define LIMIT_TARGETS 8		 /* probe targets of one uplink */

/* --- protocol (../proto/README.md) ---------------------------------------------------------------- */
#define LIMIT_BODY_BYTES (1024 * 1024)	    /* any request body, also after inflation: biggest export seen 400 KB */
#define LIMIT_JOB_BYTES (256 * 1024)	    /* a script with its rollback */
#define LIMIT_OUTPUT_BYTES (64 * 1024)	    /* output of a script; the rest is dropped and flagged */
#define LIMIT_BATCH_BYTES 1024		    /* one telemetry datagram: under every MTU with DTLS and CoAP heads */
#define LIMIT_BATCH_RECORDS 64		    /* events and samples in one batch; 1024 bytes never hold more */
#define LIMIT_WAKE_BYTES 200		    /* collector -> agent, one datagram */
#define LIMIT_TRANSFERS 4		    /* block-wise bodies at once per session */
#define LIMIT_HANDSHAKES 5000		    /* half-open DTLS sessions; 42 KB each by default, 13 KB with our buffers */
#define LIMIT_REQUESTS_PER_S 20		    /* per device, block continuations not counted */
#define LIMIT_REQUESTS_BURST 50
#define LIMIT_PSK_BYTES 32		    /* 256-bit keys */
#define LIMIT_BOOT_ID_BYTES 16
#define LIMIT_SPOOL_ROUTER_BYTES (128 * 1024) /* a 32 MB board has 6 MB free: an hour of events and samples */
#define LIMIT_SPOOL_MAX_BYTES (8 * 1024 * 1024)
#define LIMIT_RESEND_MS 5000		    /* an unacknowledged batch goes again after this */

/* --- snapshot ----------------------------------------------------------------------------------- */
#define LIMIT_SNAPSHOT_SOURCES 16 /* files (patterns) or commands named in the agent's configuration */

/* --- agent core --------------------------------------------------------------------------------- */
#define LIMIT_RECORD_BYTES 896 /* one event or sample: with the head of a batch it must fit LIMIT_BATCH_BYTES */

/* --- jaga, the command line ------------------------------------------------------------------------ */
#define LIMIT_CLI_WORD 64	    /* letters compared for "did you mean": names are shorter */
#define LIMIT_CLI_OPERANDS 4	    /* DEVICE A B and one too many, to say so */
#define LIMIT_CLI_OPTIONS 6	    /* options of one command beside the common ones: more is a second command */
#define LIMIT_CLI_CELL 2048	    /* one cell or event sentence: an event fits a 1024-byte datagram, then escapes */
#define LIMIT_CLI_ANSWER_LINE (8 * 1024 * 1024) /* one row from the collector: 1 MiB of snapshot, \u00XX at worst */
#define LIMIT_CLI_SILENCE_MS 30000  /* a local socket that says nothing this long is stuck */
#define LIMIT_CLI_TAKE_MS 120000    /* --take: a snapshot over a slow LTE line, block by block */

#endif
