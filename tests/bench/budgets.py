"""What Jaga may cost a router: every budget in one place, for `make size` and `make bench-footprint`.

KB are 1,000 bytes where a file is meant and 1,024 where memory is, as the tools that show them have it.
"""

BUDGETS = {
    # name: (at most, unit, what)
    "mips_agent_bytes": (420_000, "bytes", "agent for MIPS 24Kc, stripped, all of the Linux driver"),
    "arm64_agent_bytes": (850_000, "bytes", "agent for arm64, stripped, both drivers and TLS to RouterOS"),
    "openwrt_installed_bytes": (500_000, "bytes", "OpenWrt package, installed"),
    "rss_kb": (900, "KB", "resident on a 24Kc after 10 minutes, two uplinks, session up"),
    "heap_growth_bytes": (0, "bytes", "heap growth over 24 simulated hours"),
    "rest_instructions_per_s": (1_500_000, "/s", "instructions at rest on a 24Kc, two uplinks, default profile"),
    "start_instructions": (40_000_000, "", "instructions from start to the first acknowledged report"),
    "flash_page_bytes_per_day": (1_000_000, "bytes", "written to flash a day, in whole pages"),
    "flash_journal_records_per_script": (4, "", "records of the journal for a script with its way back"),
}


def report(values):
    """Prints the table of the figures that are there; whether all of them are within their budgets."""
    print(f"  {'figure':66} {'reached':>12}  to reach")
    good = True
    for name, (limit, unit, what) in BUDGETS.items():
        if name not in values:
            continue
        within = values[name] <= limit
        good = good and within
        print(f"  {what:66} {values[name]:12,}  <= {limit:,} {unit}{'' if within else '  EXCEEDED'}")
    return good
