/*
 * driver: which driver a configuration asks for, in a program that holds both. Called by main.c, agent.c and maintenance.c.
 * The other one of these files is driver_linux.c; agent/module.mk chooses.
 */
#include "agent/router/router.h"

const struct router_ops *router_driver(const struct agent_config *config)
{
	return config->driver == CONFIG_DRIVER_ROUTEROS ? &router_routeros : &router_linux;
}
