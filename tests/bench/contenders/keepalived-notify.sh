#!/bin/sh
# Called by keepalived: the default route follows the state. DHCP's own routes (metric 10, 20) stay.
case $1 in
wan1) ip route del default metric 1 2>/dev/null ; echo "wan1 is back" ;;
wan2) ip route replace default via 198.51.100.1 dev wan2 metric 1 && echo "wan1 is dead" ;;
esac
