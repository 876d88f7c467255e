/*
 * routeros_doctor_device: the doctor's look at the device itself: what it forbids, what is full, and what its
 * hardware does no longer do. Pure: facts in, traps out. See routeros_doctor.h.
 */
#include "agent/router/routeros_doctor.h"

#include <inttypes.h>
#include <string.h>

void ros_check_version(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	ros_trap(doctor, ROUTER_TRAP_OK, "version", "", "RouterOS %u.%u", facts->major, facts->minor);
	if (facts->n_unread > 0)
		ros_trap(doctor, ROUTER_TRAP_WARNING, "unread", "give the agent's user a group with the policies read, test and api",
			 "%u menu%s could not be read: %s", facts->n_unread, facts->n_unread == 1 ? "" : "s", facts->unread);
	if (facts->n_left_out > 0)
		ros_trap(doctor, ROUTER_TRAP_WARNING, "unread", "nothing; look there yourself",
			 "this configuration is larger than the doctor's memory: %u items were not looked at", facts->n_left_out);
}

static bool has_veth(const struct ros_facts *facts)
{
	for (unsigned i = 0; i < facts->n_interfaces; i++)
		if (strcmp(facts->interfaces[i].kind, "veth") == 0)
			return true;
	return false;
}

/* Save points before 7.18 need the scheduler. A container is asked for only where somebody has prepared one. */
void ros_check_device_mode(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;
	bool lacks_container = facts->forbids_container && has_veth(facts);
	struct ros_fix fix;

	if (!facts->forbids_scheduler && !facts->forbids_fetch && !lacks_container)
		return;
	ros_fix_init(&fix);
	ros_fix_add(&fix, "/system device-mode update%s%s%s", facts->forbids_scheduler ? " scheduler=yes" : "",
		    facts->forbids_fetch ? " fetch=yes" : "", lacks_container ? " container=yes" : "");
	ros_trap(doctor, ROUTER_TRAP_WARNING, "device-mode", fix.text,
		 "the device-mode forbids%s%s%s; the router asks for its button or a power cycle to change that",
		 facts->forbids_scheduler ? " scheduler (save points)" : "", facts->forbids_fetch ? " fetch" : "",
		 lacks_container ? " container" : "");
}

void ros_check_flash(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;
	struct ros_quoted quoted;
	struct ros_fix fix;

	if (facts->total_bytes == 0 || facts->free_bytes >= LIMIT_ROS_FLASH_BYTES)
		return;
	ros_fix_init(&fix);
	ros_fix_add(&fix, "/file remove [find name=%s]", ros_quote(&quoted, facts->largest));
	ros_trap(doctor, ROUTER_TRAP_WARNING, "flash",
		 facts->largest[0] != '\0' ? fix.text : "/system package print, and take away what is not used",
		 "%" PRIu64 " of %" PRIu64 " KiB of flash are free: a backup before a script finds no room; the largest file is %s",
		 facts->free_bytes / 1024, facts->total_bytes / 1024, facts->largest[0] != '\0' ? facts->largest : "none of yours");
}

void ros_check_connections(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	if (facts->max_connections == 0 || facts->connections < facts->max_connections / 10 * 8)
		return;
	ros_trap(doctor, ROUTER_TRAP_WARNING, "connections",
		 "/ip firewall connection tracking set tcp-established-timeout=2h; /ip firewall connection remove [find seen-reply=no]",
		 "%" PRIu64 " of %" PRIu64 " entries of the connection table are in use: new connections are about to be dropped",
		 facts->connections, facts->max_connections);
}

/* A PC has no switch chip. */
void ros_check_offload(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; i < facts->n_interfaces; i++) {
		const struct ros_fact_interface *bridge = &facts->interfaces[i];
		struct ros_quoted quoted;
		struct ros_fix fix;

		if (facts->is_x86 || !bridge->filters_vlans || bridge->n_offloadable < 2 || bridge->n_offloaded > 0)
			continue;
		ros_fix_init(&fix);
		ros_fix_add(&fix, "/interface bridge set [find name=%s] vlan-filtering=no", ros_quote(&quoted, bridge->name));
		ros_trap(doctor, ROUTER_TRAP_WARNING, "offload", fix.text,
			 "bridge %s filters VLANs, which this switch chip cannot: the processor carries what %u ports say to each "
			 "other; put the VLANs into /interface ethernet switch instead",
			 bridge->name, bridge->n_offloadable);
	}
}

/* What comes from it enters by it, or by the bridge whose port it is. */
void ros_check_veth(struct ros_doctor *doctor)
{
	const struct ros_facts *facts = doctor->facts;

	for (unsigned i = 0; i < facts->n_interfaces; i++) {
		const struct ros_fact_interface *veth = &facts->interfaces[i];
		uint8_t enters = veth->bridge != ROS_NONE ? veth->bridge : (uint8_t)i;

		for (unsigned g = 0; strcmp(veth->kind, "veth") == 0 && g < facts->n_guards; g++) {
			struct ros_quoted list, name;
			struct ros_fix fix;

			if (ros_facts_is_member(facts, enters, facts->guards[g]))
				continue;
			ros_fix_init(&fix);
			ros_fix_add(&fix, "/interface list member add list=%s interface=%s", ros_quote(&list, facts->guards[g]),
				    ros_quote(&name, facts->interfaces[enters].name));
			ros_trap(doctor, ROUTER_TRAP_WARNING, "veth", fix.text,
				 "%s of a container is not in the interface list %s: chain input of the firewall drops what it asks "
				 "this router",
				 veth->name, facts->guards[g]);
		}
	}
}
