/* driver: which driver a configuration asks for. Called by agent.c and maintenance.c. */
#include "agent/router/router.h"

const struct router_ops *router_driver(const struct agent_config *config)
{
	return config->driver == CONFIG_DRIVER_ROUTEROS ? &router_routeros : &router_linux;
}
