#!/bin/sh
# The fail-over script of a thousand forum posts: ping through the first line once a second, and
# after three misses in a row put the default route on the second; three answers bring it back.
# DHCP's own default routes (metric 10 and 20) stay, so that ping -I wan1 still finds its way.
target=203.0.113.1
gateway2=198.51.100.1
misses=0
answers=0
while :; do
	if ping -c 1 -W 1 -I wan1 "$target" >/dev/null 2>&1; then
		misses=0
		answers=$((answers + 1))
		if [ "$answers" -eq 3 ] && ip route show default metric 1 | grep -q .; then
			ip route del default metric 1
			echo "wan1 is back"
		fi
	else
		answers=0
		misses=$((misses + 1))
		if [ "$misses" -eq 3 ]; then
			ip route replace default via "$gateway2" dev wan2 metric 1
			echo "wan1 is dead"
		fi
	fi
	sleep 1
done
