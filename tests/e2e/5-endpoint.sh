# shellcheck shell=bash disable=SC2154 # session.sh and the steps before set them
# 5. Without exec: the control endpoint, by port-forward and token
forwarded=$work/forward.log
say "\$ kubectl port-forward pod/frontend :4199 &"
kubectl port-forward pod/frontend :4199 >"$forwarded" 2>&1 &
background+=($!)
await "$forwarded" '^Forwarding from 127\.0\.0\.1:[0-9]+ -> 4199'
port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$forwarded")
endpoint=http://127.0.0.1:$port
say "  $endpoint"
ok "${in_frontend[@]}" ldbg token
token=$out
# Kept out of the command line, where everyone on this machine could read it.
printf 'header = "Authorization: Bearer %s"\n' "$token" >"$work/curlrc"

for path in livez readyz version; do
	ok curl -sS -o /dev/null -w '%{http_code}\n' "$endpoint/$path"
	sees '^200$'
done
ok curl -sS -w '\n%{http_code}\n' -d '{"name": "backend"}' "$endpoint/v1/dns"
sees '^401$' '"error"'
ok curl -sS -w '\n%{http_code}\n' -H 'Authorization: Bearer wrong' "$endpoint/v1/capture.pcap"
sees '^401$'

asked=(curl -sS -K "$work/curlrc" -H 'Content-Type: application/json')
ok "${asked[@]}" -d '{"name": "backend"}' "$endpoint/v1/dns"
json ".outcome == \"found\" and .addresses == [\"$cluster_ip\"]"
ok "${asked[@]}" -d '{"host": "backend", "port": 8080}' "$endpoint/v1/tcp"
json ".result == \"connected\" and .address == \"$cluster_ip:8080\""
ok "${asked[@]}" -d "{\"host\": \"$backend_ip\", \"port\": 8079, \"timeout_ms\": 1000}" "$endpoint/v1/tcp"
json '.result == "timed-out"'
ok "${asked[@]}" -d '{"url": "http://backend:8080/health"}' "$endpoint/v1/http"
json '.result == "response" and .status == 200 and (.body | startswith("healthy"))'
ok "${asked[@]}" -w '\n%{http_code}\n' -d '{"hots": "backend"}' "$endpoint/v1/tcp"
sees '^4[0-9][0-9]$' '"error"'

say "\$ curl -N -K curlrc '$endpoint/v1/capture.pcap?filter=port+8080&duration=10s' | tshark -l -r - &"
flow=$work/flow.log
{ curl -sS -N -K "$work/curlrc" -D "$work/head" "$endpoint/v1/capture.pcap?filter=port+8080&duration=10s" |
	tee "$work/stream.pcap" | tshark -l -r -; } >"$flow" 2>&1 &
background+=($!)
await "$work/head" '^HTTP/1.1 200'
ok "${in_frontend[@]}" curl -s "http://$backend_ip:8080/health"
# It is read while the capture still runs.
await "$flow" 'GET /health'
kill -0 "${background[-1]}" 2>/dev/null || fail "the stream ended before its time"
wait "${background[-1]}" || fail "the stream ended with $?: $(cat "$flow")"
unset 'background[-1]'
out=$(cat "$flow")
say "$out"
sees '\[SYN\]' '\[SYN, ACK\]' 'GET /health'
ok tshark -r "$work/stream.pcap" -q -z io,stat,0
say "\$ curl http://$(kubectl get pod frontend -o 'jsonpath={.status.podIP}'):4199/livez   # from another pod"
exits 7 kubectl exec backend -- curl -s -m 3 "http://$(kubectl get pod frontend -o 'jsonpath={.status.podIP}'):4199/livez"
