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
#define LIMIT_INTERFACE 64	 /* of RouterOS; the kernel's own names have 15 letters */
#define LIMIT_INI_LINE 199	 /* Debian's inih cuts at 200; a longer line is an error, not two */
#define LIMIT_INI_ERRORS 20	 /* errors shown for one file; more are the same mistake again */

/* --- forwarding plan ------------------------------------------------------------------------ */
#define LIMIT_UPLINKS 16	 /* 8 mark bits would allow 254; nobody has more lines, arrays stay small */
#define LIMIT_LANS 16		 /* LAN interfaces named in the configuration */
#define LIMIT_BUCKETS 64	 /* 1.6 % steps of sharing; 135 us for a whole batch (64 elements) */
#define LIMIT_TARGETS 8		 /* probe targets of one uplink */

/* --- fail-over engine ----------------------------------------------------------------------- */
#define LIMIT_ROUNDS 64		 /* probe rounds remembered: 3 s of time-out at 10 a second are 30, and as many evidence */
#define LIMIT_TABLE_FULL_PERCENT 97 /* of connection tracking: what ends while a probe is refused makes some room again */
#define LIMIT_TABLE_FREE_PERCENT 90 /* below it the table is told to have room: it may stand at its brim for hours */
#define LIMIT_UNANSWERED 64	 /* probes in a row, 6 s on a dead line; then they take an identifier that no NAT knows */

/* --- protocol (../proto/README.md) ---------------------------------------------------------------- */
#define LIMIT_BODY_BYTES (1024 * 1024)	    /* any request body, also after inflation: biggest export seen 400 KB */
#define LIMIT_ZLIB_WINDOW_BITS 12	    /* of every zlib stream: a window of 4 KB at either end */
#define LIMIT_JOB_BYTES (256 * 1024)	    /* a script with its rollback */
#define LIMIT_OUTPUT_BYTES (64 * 1024)	    /* output of a script; the rest is dropped and flagged */
#define LIMIT_BATCH_BYTES 1024		    /* one telemetry datagram: under every MTU with DTLS and CoAP heads */
#define LIMIT_BATCH_RECORDS 64		    /* events and samples in one batch; 1024 bytes never hold more */
#define LIMIT_WAKE_BYTES 200		    /* collector -> agent, one datagram */
#define LIMIT_DOCTOR_BYTES (32 * 1024)	    /* a report of the doctor: 60 findings of 250 bytes and as much again */
#define LIMIT_DOCTOR_TRAPS 256		    /* in it, for the collector's rows; agents cut at the bytes */
#define LIMIT_TRANSFERS 4		    /* block-wise bodies at once per session */
#define LIMIT_HANDSHAKES 5000		    /* half-open DTLS sessions; 42 KB each by default, 13 KB with our buffers */
#define LIMIT_REQUESTS_PER_S 20		    /* per device, block continuations not counted */
#define LIMIT_REQUESTS_BURST 50
#define LIMIT_PSK_BYTES 32		    /* 256-bit keys */
#define LIMIT_BOOT_ID_BYTES 16
#define LIMIT_SPOOL_ROUTER_BYTES (128 * 1024) /* a 32 MB board has 6 MB free: an hour of events and samples */
#define LIMIT_SPOOL_MAX_BYTES (8 * 1024 * 1024)
#define LIMIT_RESEND_MS 5000		    /* an unacknowledged batch goes again after this */

/* --- transport: agent's link, collector's sessions ------------------------------------------------ */
#define LIMIT_BACKOFF_BASE_MS 2000   /* full jitter between 0 and this, doubled at each failure, ... */
#define LIMIT_BACKOFF_CAP_MS 300000  /* ... up to this: 10,000 agents knock 67 times a second at a dead collector's door */
#define LIMIT_CONNECT_MS 20000	     /* handshake and hello: five tries of DTLS over a slow line */
#define LIMIT_KEEPALIVE_S 25	     /* mobile NATs forget a binding after 30 s and more */
#define LIMIT_KEEPALIVE_MIN_S 1	     /* tests want it short; pings more often than this are nonsense */
#define LIMIT_PING_MS 5000	     /* an answer takes this long over a loaded line; two such misses end a session */
#define LIMIT_PROBE_MS 1000	     /* the same after a fail-over, when the path is probably gone */
#define LIMIT_ANSWER_MS 1000	     /* acknowledged but not answered: the answer is lost, or the disk slow (then 2 s, 4 s, ...) */
#define LIMIT_ANSWER_MIN_MS 500	     /* the same on a fast path: what a disk takes that is not well */
#define LIMIT_ANSWER_ATTEMPTS 5	     /* 31 s in all; with shorter steps as many more */
#define LIMIT_ACK_MIN_MS 300	     /* a datagram that is not acknowledged goes again after twice the round trip, at least this */
#define LIMIT_ACK_MAX_MS 2000	     /* ... at most RFC 7252's ACK_TIMEOUT, which stands for round trips that are not known */
#define LIMIT_ANSWER_BYTES 4096	     /* answers other than jobs: HelloAck and Ack are 30 bytes, diagnostics 100 */
#define LIMIT_WALL_MS INT64_C(253402300800000) /* what a collector may say that it is: before the year 10000 */
#define LIMIT_MAX_AGE_S 300	     /* a collector that sends us away for longer is not believed */
#define LIMIT_BATCHES_PER_S 17	     /* the agent's own pace, under LIMIT_REQUESTS_PER_S: room for jobs and snapshots */
#define LIMIT_BATCHES_BURST 40
#define LIMIT_KICK_MS 1000	     /* a record that is not urgent waits this long for company */
#define LIMIT_REFUSALS 3	     /* of the same batch, in a row: it is not going to be taken */
#define LIMIT_REFUSED_S 5	     /* between two of them */
#define LIMIT_SILENCE_MS 62500	     /* 2.5 keepalives without a datagram: the device is offline */
#define LIMIT_HANDSHAKES_PER_SOURCE 64 /* half-open sessions of one IPv4 address or IPv6 /64: a carrier's NAT restarts with */
				     /* this many at once, the rest of it a second later */
#define LIMIT_TRANSFER_MS 60000	     /* a block-wise body without a block for this long is given up */
#define LIMIT_TRANSFERS_BYTES (64 * 1024 * 1024) /* all bodies under way together: 64 of the largest */
#define LIMIT_WAKE_MS 30000	     /* libcoap repeats by the round trip and gives up after 20 to 45 s; beyond this the session is stuck */
#define LIMIT_WAKES 8		     /* unacknowledged wakes of one session; one would do */
#define LIMIT_SOCKET_BYTES (4 * 1024 * 1024) /* receive buffer: 2,000 datagrams of 1 KB, a report of the whole fleet at once */

/* --- router: the Linux driver -------------------------------------------------------------------- */
#define LIMIT_NETLINK_BATCH_BYTES (64 * 1024)	/* the whole plan of 16 uplinks and 64 buckets is 34 KB; a nest holds 64 */
#define LIMIT_NETLINK_MESSAGES 512		/* messages in one batch; the whole plan of 16 uplinks has 183 */
#define LIMIT_NETLINK_RECEIVE_BYTES (32 * 1024) /* the kernel makes no datagram of a dump larger than this */
#define LIMIT_NFT_NAME 64		/* names of others' tables and chains shown by the doctor; longer ones are cut */
#define LIMIT_DOCTOR_CHAINS 128		/* base chains of others that the doctor looks at; fw4 has 12, Docker 20 */
#define LIMIT_DOCTOR_SETS 64		/* sets of interface names that the doctor looks into; fw4 makes one a zone */
#define LIMIT_DOCTOR_ADDRESSES 64	/* addresses and default routes compared by the doctor */
#define LIMIT_SAVED_SYSCTLS 64		/* three for each of 16 uplinks, and room for interfaces that were renamed */
#define LIMIT_DUMP_TRIES 3		/* readings of a list that changes meanwhile: routing daemons pause sometime */
#define LIMIT_REINSTALLS 8		/* in a row at once: `systemctl restart nftables` flushes twice, a zealous script a few */
#define LIMIT_REINSTALL_MS 1000		/* from then on: who flushes in a loop is not fought */
#define LIMIT_REINSTALL_CALM_MS 10000	/* so long without a flush: the burst is allowed again */
#define LIMIT_RESYNC_MS 5000		/* what the kernel refuses may be mended without an event that we would see */
#define LIMIT_NETLINK_ANSWER_MS 5000		/* a kernel that takes longer is broken: give up, report */

/* --- router: the RouterOS driver ------------------------------------------------------------------ */
#define LIMIT_ROS_WORD_BYTES 1024     /* kept whole; comments and scripts are longer, and are only handed on */
#define LIMIT_ROS_SENTENCE_BYTES 4096 /* an interface's 40 attributes come to 1 KB; .proplist asks for fewer */
#define LIMIT_ROS_ATTRIBUTES 64	      /* of one reply; /interface/print has 40 */
#define LIMIT_ROS_PATH 48	      /* of a command: "/ip/firewall/connection/tracking/print" */
#define LIMIT_ROS_KEY 96	      /* a comment: "jaga: route NAME over NAME" */
#define LIMIT_ROS_VALUE 80	      /* two names and a head; "both-addresses-and-ports:64/63" */
#define LIMIT_ROS_ITEM_ATTRIBUTES 12  /* a rule for a bucket has 9 */
#define LIMIT_ROS_NETWORKS 32	      /* inside, of which a router knows by its addresses: two for each LAN */
#define LIMIT_ROS_PRIVATE 6	      /* networks that no provider routes: RFC 1918, 6598, 3927, multicast */
#define LIMIT_ROS_EXECUTE_BYTES 60000 /* of a script in one /execute: RouterOS takes 64 kB */
#define LIMIT_ROS_SEND_BYTES 73728    /* commands that wait for the socket: a script, and the short ones beside it */
#define LIMIT_ROS_TAIL 1024	      /* of a script's output: its last line says how it ended */
#define LIMIT_ROS_SAVED_SCRIPT_MS 120000 /* of a script with a save point: so much later the router goes back by itself */
#define LIMIT_ROS_SMALL_SCRIPT_MS 30000 /* likewise of a small one: 50 commands that wait for nothing, on a MIPS that writes flash */
#define LIMIT_ROS_MARGIN_S 30	      /* and this: a commit that began in time must not meet a router that goes back */
#define LIMIT_ROS_PROVE_MS 10000      /* of it for another session: LIMIT_ROS_CONNECT_MS, or some tries when there are too many */
#define LIMIT_ROS_LOOK_MS 1000	      /* between two looks whether it went back */
#define LIMIT_ROS_GO_BACK_MS 60000    /* told to go back it reboots within 10 s */
#define LIMIT_ROS_SAFE_ACTIONS 50     /* of a script in safe mode, which undoes 100: others change something meanwhile, we as well */
#define LIMIT_ROS_WATCH_MS 1600	      /* between two looks at a job, at most; the first comes sixteen times as soon */
#define LIMIT_ROS_COMMANDS 16	      /* under way at once: six listens of the monitor, a plan, a snapshot, a job */
#define LIMIT_ROS_PASSWORD 128	      /* longer ones are generated by nobody */
#define LIMIT_ROS_CONNECT_MS 10000    /* connect with TLS, then log in: a 400 MHz MIPS under load takes 3 s */
#define LIMIT_ROS_PIN_BYTES 32	      /* SHA-256 */
#define LIMIT_ROS_SUBJECT 256	      /* of a certificate, for people to read: "CN=router, O=..." */
#define LIMIT_ROS_CA_BYTES (64 * 1024) /* ca_file: thirty authorities; a system's whole bundle has 140 and is a mistake here */
#define LIMIT_ROS_TURN_BYTES (32 * 1024) /* taken from a TLS socket before others have their turn: two records */
#define LIMIT_ROS_ANSWER_MS 10000     /* to a short command */
#define LIMIT_ROS_PRINT_MS 60000      /* to a print: an address-list of 50,000 entries on a MIPS */
#define LIMIT_ROS_BULK_BYTES (16 * 1024 * 1024) /* of one reply's long values, handed on and not kept: an export far too large is */
				      /* told with its size; more is no answer, and ends the session */
#define LIMIT_ROS_FTP_REPLIES (64 * 1024) /* of all replies to one fetch by FTP: a greeting of a thousand lines */
#define LIMIT_ROS_ID 16		      /* an item's id: "*" and 32 bits in hexadecimal */
#define LIMIT_ROS_SURPLUS 512	      /* items of ours to take away in one go; what is more goes in the next */
#define LIMIT_ROS_ENTRIES 320	      /* of address-lists that steer: 80 lists, in both forms, and one to spare */
#define LIMIT_ROS_STEER_S 30	      /* an entry ends by itself after this: so long a dead agent is obeyed */
#define LIMIT_ROS_REFRESH_MS 10000    /* and is renewed after this: twice it may be late */
#define LIMIT_ROS_LEASE_S 90	      /* likewise of the entry that tells who steers: so long another agent waits for a dead one. A
				       * look may take LIMIT_ROS_PRINT_MS of it: who steers has renewed before */
#define LIMIT_ROS_LEASE_ROUNDS 6      /* refreshes until that one is renewed: it may be half as late, and the one before has ended. Not
				       * each time: RouterOS logs every entry that is added, and counts it in others' safe mode */
#define LIMIT_ROS_LEASE_ID 8	      /* random bytes by which an agent knows its former self: two alike are not met */
#define LIMIT_ROS_VERIFY_MS 300000    /* between two looks at our items: others edit them now and then */
#define LIMIT_ROS_SETTLE_MS 500	      /* after a change of addresses, which come in groups */
#define LIMIT_ROS_NAME LIMIT_INTERFACE /* of an interface, a mark, a list of others that the doctor compares; longer ones are left out */
#define LIMIT_ROS_FACTS 128	      /* rows of one kind that the doctor keeps: interfaces, marking rules; S4 has 20 and 20 */
#define LIMIT_ROS_FEW_FACTS 32	      /* the same of kinds that nobody has many of: default routes, networks let by, clients */
#define LIMIT_ROS_QUERY_BYTES 2048    /* of one print of the doctor: asks for a route to each network that is let by */
#define LIMIT_ROS_TYPO 2	      /* letters by which two names differ that mean the same: to-ISP1 and to-ISPI */
#define LIMIT_ROS_FLASH_BYTES (1024 * 1024) /* free: a backup before a script and a file of the next version's notes need as much */
#define LIMIT_ROS_RETRY_MIN_MS 1000
#define LIMIT_ROS_RETRY_MAX_MS 30000  /* a router that reboots is met within half a minute */

/* --- monitor: what the agent watches on a router beside it ---------------------------------------- */
#define LIMIT_WATCH_NAME 40	   /* of a user, neighbour, interface: 39 bytes; longer ones are cut */
#define LIMIT_WATCH_NAMES 16	   /* named in one event of many: with all else they fit LIMIT_RECORD_BYTES */
#define LIMIT_WATCH_USERS 4096	   /* slots for users, three quarters of which are used: 3,072; 80 bytes each once it fills */
#define LIMIT_WATCH_THINGS 128	   /* slots for neighbours, peers, interfaces, hosts: 96; a switch of 54 ports and its VLANs */
#define LIMIT_WATCH_RATE 5	   /* changes of a kind told one by one within a second; the rest of it in one event */
#define LIMIT_WATCH_SLACK_MS 30000 /* a slow router's uptimes are old when they are read: within this it is the same session */
#define LIMIT_WATCH_MODEMS 4	   /* nobody has more sticks in one router */
#define LIMIT_WATCH_MODEM_MS 20000 /* of one modem's answer: it asks its firmware, which may hang */
#define LIMIT_WATCH_DEAF_MS 10000  /* a menu that does not tell changes is asked this often at least */
#define LIMIT_WATCH_AGAIN_MS 1000  /* when there was no room for a command */
#define LIMIT_WATCH_UPTIME_S INT64_C(5000000000) /* a century and a half: no router runs for longer, and milliseconds of it do not overflow */

/* --- snapshot ----------------------------------------------------------------------------------- */
#define LIMIT_SNAPSHOT_SOURCES 16 /* files (patterns) or commands named in the agent's configuration */

/* --- agent core --------------------------------------------------------------------------------- */
#define LIMIT_RECORD_BYTES 896 /* one event or sample: with the head of a batch it must fit LIMIT_BATCH_BYTES */
#define LIMIT_TABLE_CELLS 512  /* of an answer of the agent: 16 uplinks x 20 columns, 40 findings of the doctor x 5 */
#define LIMIT_TABLE_BYTES 16384 /* their text */
#define LIMIT_LOCAL_ANSWER_BYTES 32768 /* the same with the names that JSON repeats in every row */
#define LIMIT_UPKEEP_MS 10000	 /* between two looks at the key file, state directory, clock: people wait for the effect */
#define LIMIT_RANDOM_MS 60000	 /* of one child that waits for random numbers; an old kernel without a disk takes longer */
#define LIMIT_NOTICE 200		 /* text of a notice: two lines of a terminal, and four fit a datagram */
#define LIMIT_FORCE_MS (7 * 24 * 3600 * 1000LL) /* an order to stay on a line that everybody has forgotten must end */
#define LIMIT_SNAPSHOT_WAIT_MS 110000	 /* below the client's patience: taking and sending 1 MiB over a slow line */
#define LIMIT_REQUEST_BYTES 128	 /* one line to the local socket: a command, an uplink, a duration */
#define LIMIT_LOCAL_CLIENTS 4	 /* people at the local socket at once; more wait in the backlog */
#define LIMIT_LOCAL_MS 5000	 /* for a client to ask and to take its answer */
#define LIMIT_ACCEPT_MS 1000	 /* without a descriptor for a client, of either socket: whoever holds them may let go meanwhile */
#define LIMIT_SCRIPT_MS (10 * 60 * 1000) /* of a pushed script: package updates over LTE take minutes */
#define LIMIT_CONFIRM_MIN_S 30	 /* of a new session after a script: handshake and hello over a slow line, twice */
#define LIMIT_CONFIRM_MAX_S 600	 /* a router that is cut off so long has been visited by somebody */
#define LIMIT_CONFIRM_DEFAULT_S 90 /* DHCP and PPPoE are back by then, and nobody has left for the car yet */
#define LIMIT_CONFIRM_TELL_MS 2000 /* for telling, before the session is closed, that a script has ended: a courtesy */
#define LIMIT_JOURNAL_STOP_MS 3000 /* for a record under way when the agent ends: below the 5 s after which procd kills */
#define LIMIT_SCRIPT_ANSWER_MS 20000 /* beyond that, of its unit: two grace periods, start and answer on a slow machine */
#define LIMIT_COMMAND_MS 10000	 /* of one snapshot command: they only read */
#define LIMIT_SNAPSHOT_LINES 16384 /* of one command whose lines are sorted (routes) */

/* --- jaga, the command line ------------------------------------------------------------------------ */
#define LIMIT_CLI_WORD 64	    /* letters compared for "did you mean": names are shorter */
#define LIMIT_CLI_OPERANDS 4	    /* DEVICE A B and one too many, to say so */
#define LIMIT_CLI_OPTIONS 6	    /* options of one command beside the common ones: more is a second command */
#define LIMIT_CLI_CELL 2048	    /* one cell or event sentence: an event fits a 1024-byte datagram, then escapes */
#define LIMIT_CLI_ANSWER_LINE (8 * 1024 * 1024) /* one row from the collector: 1 MiB of snapshot, \u00XX at worst */
#define LIMIT_CLI_SILENCE_MS 30000  /* a local socket that says nothing this long is stuck */
#define LIMIT_CLI_TAKE_MS 90000      /* --take: above LIMIT_CTL_ANSWER_MS, so that the collector says what is wrong */

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
#define LIMIT_JOB_NUMBER (1ULL << 53)	     /* exact in every JSON reader; a device that claims to be past it is not believed */
#define LIMIT_JOBS_WAITING 64		     /* for one device: more is a mistake in a script */
#define LIMIT_JOB_NAME 64		     /* file name of a pushed script, for the table of jobs */
#define LIMIT_JOB_REASON 160		     /* why a job failed: two lines */
#define LIMIT_HELLO_BYTES 4096		     /* 16 uplinks and the names of a board come to 1.5 KB */
#define LIMIT_TEXT 96			     /* version, model, system of a device: longer is cut */
#define LIMIT_TROUBLES 8		     /* lasting ones of a device; an agent has six conditions, and must not fill memory */
#define LIMIT_RESTORE_BATCHES 16	     /* of a device, read back at start to know its last state */
#define LIMIT_INGEST_ARENA (256 * 1024)	     /* one unpacked message: a JobState with its output, 64 records of hostile shape */
#define LIMIT_BUSY_RETRY_S 5		     /* Max-Age when the queue is full: it empties within a second */
#define LIMIT_FAULT_RETRY_S 30		     /* Max-Age when the disk refuses: a person has to act; agents spool meanwhile */
#define LIMIT_CTL_CLIENTS 64		     /* people and scripts at once on the control socket */
#define LIMIT_CTL_REQUEST (1024 * 1024)	     /* a script of LIMIT_JOB_BYTES with every byte escaped by four */
#define LIMIT_CTL_OUTPUT (8 * 1024 * 1024)   /* unread answer of one client: one `cat` of 1 MiB that is not text: 3 + 2 bytes a byte */
#define LIMIT_CTL_PAUSE (64 * 1024)	     /* no more rows are made while so much is unread */
#define LIMIT_STATUS_JOBS 1000	     /* newest jobs that `status` looks at: some milliseconds */
#define LIMIT_LOW_DISK_BYTES (256ull << 20) /* less free than this is told; a busy fleet writes it in minutes */
#define LIMIT_CTL_ROWS 64		     /* rows made in one turn of the loop: under a millisecond */
#define LIMIT_CTL_KINDS 128		     /* of an `events` that wants some kinds: all their names together */
#define LIMIT_CTL_EVENTS 10000		     /* rows of one `events`: a screen shows 50; ids kept while it runs */
#define LIMIT_CTL_REQUEST_MS 10000	     /* a client that has not sent its line by then is gone */
#define LIMIT_CTL_STALL_MS 60000	     /* a client that reads nothing for so long is gone */
#define LIMIT_CTL_ANSWER_MS 60000	     /* a router that takes a snapshot: reads and one transfer over LTE */

#endif
