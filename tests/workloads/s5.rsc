# A campus of the published system S5 (RB951Ui-2nD, RouterOS 6): fibre, LTE behind it, a tunnel over LTE, BGP over both.
/interface bridge
add name=bridge1
/interface l2tp-client
add name=l2tp-out1 connect-to=202.9.69.240 user=campus password=campus dial-on-demand=yes profile=default disabled=no
/ip address
add address=10.1.1.71/25 interface=ether1
add address=192.168.1.168/24 interface=ether5
add address=10.255.0.2/30 interface=bridge1
add address=10.71.4.254/24 interface=ether2
/ip dns
set servers=10.10.1.1,10.10.1.10
/ip pool
add name=wlan ranges=10.71.4.10-10.71.4.200
/ip dhcp-server
add name=wlan interface=ether2 address-pool=wlan
/ip dhcp-server network
add address=10.71.4.0/24 gateway=10.71.4.254
/ip firewall nat
add chain=srcnat action=masquerade out-interface=ether1
add chain=srcnat action=masquerade out-interface=ether5
/ip route
add gateway=10.1.1.1 distance=1 check-gateway=ping
add gateway=192.168.1.1 distance=2
/routing bgp instance
add name=campus as=64516
/routing bgp peer
add name=fibre instance=campus remote-address=10.1.1.2 remote-as=46047 keepalive-time=10s
add name=tunnel instance=campus remote-address=10.255.0.1 remote-as=46047 keepalive-time=10s
/routing bgp network
add network=10.71.4.0/24
