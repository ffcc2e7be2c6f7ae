# shellcheck shell=bash disable=SC2154 # session.sh and the steps before set them
# 4. The capture, copied to the host and read there
ok kubectl cp default/frontend:/tmp/backend.pcap "$work/backend.pcap" -c linkerd-debug
ok tshark -r "$work/backend.pcap"
sees "→ $backend_ip .*→ 8080 \[SYN\]" "$backend_ip → .* 8080 → [0-9]+ \[SYN, ACK\]" 'GET /health HTTP/1.1'
