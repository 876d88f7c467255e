# The head office of the published system S4: two providers, PCC by addresses and ports, Netwatch. As its authors meant it; s4_printed.py
# makes the text as it was printed, with its two slips.
/interface ethernet
set [ find default-name=ether1 ] name=ISP1
set [ find default-name=ether2 ] name=ISP2
set [ find default-name=ether6 ] name=LAN-Lt.1
set [ find default-name=ether7 ] name=LAN-Lt.2
set [ find default-name=ether8 ] name=LAN-Lt.3
set [ find default-name=ether9 ] name=LAN-Server
/ip dhcp-client
add interface=ISP1 add-default-route=no
add interface=ISP2 add-default-route=no
/ip address
add address=192.168.40.2/24 interface=ISP1
add address=192.168.20.2/24 interface=ISP2
add address=172.16.10.1/24 interface=LAN-Lt.1
add address=172.16.20.1/24 interface=LAN-Lt.2
add address=172.16.30.1/24 interface=LAN-Lt.3
add address=10.10.0.1/24 interface=LAN-Server
/ip dns
set servers=8.8.8.8,8.8.4.4 allow-remote-requests=yes
/ip pool
add name=dhcp_pool0 ranges=172.16.10.2-172.16.10.254
/ip dhcp-server
add name=dhcp1 interface=LAN-Lt.1 address-pool=dhcp_pool0 lease-time=10m
/ip dhcp-server network
add address=172.16.10.0/24 gateway=172.16.10.1 dns-server=8.8.8.8,8.8.4.4
/ip firewall nat
add chain=srcnat action=masquerade out-interface=ISP1
add chain=srcnat action=masquerade out-interface=ISP2
/ip firewall mangle
add chain=prerouting action=accept dst-address=192.168.40.0/24
add chain=prerouting action=accept dst-address=192.168.20.0/24
add chain=prerouting action=accept dst-address=172.16.10.0/24
add chain=prerouting action=accept dst-address=172.16.20.0/24
add chain=prerouting action=accept dst-address=172.16.30.0/24
add chain=prerouting action=accept dst-address=10.10.0.0/24
add chain=prerouting action=mark-connection new-connection-mark=ISP-1 passthrough=yes in-interface=ISP1
add chain=prerouting action=mark-connection new-connection-mark=ISP-2 passthrough=yes in-interface=ISP2
add chain=prerouting action=mark-connection new-connection-mark=ISP-1 passthrough=yes connection-mark=no-mark in-interface=LAN-Lt.1 per-connection-classifier=both-addresses-and-ports:2/0
add chain=prerouting action=mark-connection new-connection-mark=ISP-2 passthrough=yes connection-mark=no-mark in-interface=LAN-Lt.1 per-connection-classifier=both-addresses-and-ports:2/1
add chain=prerouting action=mark-connection new-connection-mark=ISP-1 passthrough=yes connection-mark=no-mark in-interface=LAN-Lt.2 per-connection-classifier=both-addresses-and-ports:2/0
add chain=prerouting action=mark-connection new-connection-mark=ISP-2 passthrough=yes connection-mark=no-mark in-interface=LAN-Lt.2 per-connection-classifier=both-addresses-and-ports:2/1
add chain=prerouting action=mark-connection new-connection-mark=ISP-1 passthrough=yes connection-mark=no-mark in-interface=LAN-Lt.3 per-connection-classifier=both-addresses-and-ports:2/0
add chain=prerouting action=mark-connection new-connection-mark=ISP-2 passthrough=yes connection-mark=no-mark in-interface=LAN-Lt.3 per-connection-classifier=both-addresses-and-ports:2/1
add chain=prerouting action=mark-connection new-connection-mark=ISP-1 passthrough=yes connection-mark=no-mark in-interface=LAN-Server per-connection-classifier=both-addresses-and-ports:2/0
add chain=prerouting action=mark-connection new-connection-mark=ISP-2 passthrough=yes connection-mark=no-mark in-interface=LAN-Server per-connection-classifier=both-addresses-and-ports:2/1
add chain=prerouting action=mark-routing new-routing-mark=to-ISP1 passthrough=yes connection-mark=ISP-1
add chain=prerouting action=mark-routing new-routing-mark=to-ISP2 passthrough=yes connection-mark=ISP-2
add chain=output action=mark-routing new-routing-mark=to-ISP1 passthrough=yes connection-mark=ISP-1
add chain=output action=mark-routing new-routing-mark=to-ISP2 passthrough=yes connection-mark=ISP-2
/ip route
add dst-address=0.0.0.0/0 gateway=192.168.40.1 routing-mark=to-ISP1 check-gateway=ping
add dst-address=0.0.0.0/0 gateway=192.168.20.1 routing-mark=to-ISP2 check-gateway=ping
add dst-address=0.0.0.0/0 gateway=192.168.40.1 distance=1 check-gateway=ping
add dst-address=0.0.0.0/0 gateway=192.168.20.1 distance=2 check-gateway=ping
/tool netwatch
add host=192.168.40.1 up-script="/log info \"ISP1 up\"" down-script="/log error \"ISP1 down\""
add host=192.168.20.1 up-script="/log info \"ISP2 up\"" down-script="/log error \"ISP2 down\""
