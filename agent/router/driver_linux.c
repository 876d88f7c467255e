/*
 * driver_linux: driver.c of a program that is made for routers which run it themselves (MIPS under OpenWrt): flash is
 * small there, and no RouterOS router is beside it.
 */
#include <errno.h>

#include "agent/router/router.h"

const struct router_ops *router_driver(const struct agent_config *config)
{
	return config->driver == CONFIG_DRIVER_LINUX ? &router_linux : NULL;
}

int router_show_pin(const char *address, FILE *out, struct err *err)
{
	(void)address;
	(void)out;
	return err_set(err, -EOPNOTSUPP, "this program does not speak to RouterOS routers");
}
