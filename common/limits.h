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

/* --- fail-over engine ----------------------------------------------------------------------- */
#define LIMIT_ROUNDS 64		 /* probe rounds remembered: 3 s of time-out at 10 a second are 30, and as many evidence */

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

/* --- collector: store, control socket ------------------------------------------------------------- */
#define LIMIT_DEVICES 20000		     /* twice the fleet that is planned for; 1 KB of memory each */
#define LIMIT_WRITE_GROUP 512		     /* writes in one commit: bounds its latency; ten times what is seen at full load */
#define LIMIT_WRITE_QUEUE 8192		     /* writes waiting for the disk: 0.8 s at full load, then 5.03 */
#define LIMIT_WRITE_QUEUE_BYTES (64 * 1024 * 1024) /* and their memory: snapshots and outputs are large */
#define LIMIT_WORKER_QUEUE 64		     /* snapshots waiting to be inflated, 1 MiB each at most */
#define LIMIT_STORE_TABLES 16		     /* named databases in the LMDB file; we use 11 */
#define LIMIT_STORE_READERS 8		     /* read transactions at once: the loop holds one, mdb_stat another */
#define LIMIT_STORE_MIN_BYTES (16LL * 1024 * 1024) /* a smaller store would be full within minutes */
#define LIMIT_STORE_MAX_BYTES (1LL << 40)    /* address space is 47 bits; nobody keeps a terabyte of this */
#define LIMIT_STORE_EVENTS_PERMILLE 500	     /* share of the store that events may fill; the oldest go first */
#define LIMIT_STORE_RESERVE_PERMILLE 50	     /* bulk (snapshots, jobs) is refused when less is free: events keep coming */
#define LIMIT_STORE_TRIM 8		     /* event batches trimmed beyond those added, per commit: bounded work */
#define LIMIT_SNAPSHOTS_PER_DEVICE 1000	     /* three years of daily changes; the oldest go first */
#define LIMIT_JOBS 100000		     /* in the store; the oldest finished ones go first */
#define LIMIT_JOBS_WAITING 64		     /* for one device: more is a mistake in a script */
#define LIMIT_JOB_NAME 64		     /* file name of a pushed script, for the table of jobs */
#define LIMIT_JOB_REASON 160		     /* why a job failed: two lines */
#define LIMIT_HELLO_BYTES 4096		     /* 16 uplinks and the names of a board come to 1.5 KB */
#define LIMIT_TEXT 96			     /* version, model, system of a device: longer is cut */
#define LIMIT_RESTORE_BATCHES 16	     /* of a device, read back at start to know its last state */
#define LIMIT_CTL_CLIENTS 64		     /* people and scripts at once on the control socket */
#define LIMIT_CTL_REQUEST (1024 * 1024)	     /* a script of LIMIT_JOB_BYTES with every byte escaped by four */
#define LIMIT_CTL_OUTPUT (4 * 1024 * 1024)   /* unread answer of one client: one `cat` of the biggest snapshot, escaped */
#define LIMIT_CTL_PAUSE (64 * 1024)	     /* no more rows are made while so much is unread */
#define LIMIT_CTL_ROWS 64		     /* rows made in one turn of the loop: under a millisecond */
#define LIMIT_CTL_EVENTS 10000		     /* rows of one `events`: a screen shows 50; ids kept while it runs */
#define LIMIT_CTL_REQUEST_MS 10000	     /* a client that has not sent its line by then is gone */
#define LIMIT_CTL_ANSWER_MS 60000	     /* a router that takes a snapshot: reads and one transfer over LTE */

#endif
