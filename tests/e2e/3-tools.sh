# shellcheck shell=bash disable=SC2154 # session.sh and the steps before set them
# 3. The familiar tools, by kubectl exec
in_frontend=(kubectl exec frontend -c linkerd-debug --)
backend_ip=$(kubectl get pod backend -o 'jsonpath={.status.podIP}')
cluster_ip=$(kubectl get service backend -o 'jsonpath={.spec.clusterIP}')
say "the backend's pod is $backend_ip, its service $cluster_ip"

say "\$ echo 'echo bash \$BASH_VERSION as \$UID' | kubectl exec -i frontend -c linkerd-debug -- bash"
# shellcheck disable=SC2016 # for the bash in the pod
out=$(echo 'echo bash $BASH_VERSION as $UID' | kubectl exec -i frontend -c linkerd-debug -- bash 2>&1) || fail "$out"
say "$out"
sees '^bash 5.* as 65532$'
ok "${in_frontend[@]}" ldbg --list
for tool in agent curl dns injector nc netstat nslookup tcpdump; do sees "^$tool +\S"; done
ok "${in_frontend[@]}" grep CapPrm /proc/1/status
sees '0000000000002080$' # NET_RAW and SETUID, from the file: the image kept them

ok "${in_frontend[@]}" ldbg dns backend
sees 'backend\.default\.svc\.cluster\.local' "$cluster_ip" ':53' '[0-9.]+ ?(µs|us|ms)'
ok "${in_frontend[@]}" ldbg dns --json backend
json '.outcome == "found" and .found_as == "backend.default.svc.cluster.local."'
json ".addresses == [\"$cluster_ip\"] and (.tries | length > 0) and .elapsed_us > 0 and (.server | endswith(\":53\"))"

ok "${in_frontend[@]}" nslookup backend.default.svc.cluster.local
sees '^Server:\s+[0-9.]+$' '^Address:\s+[0-9.]+#53$' '^Name:\s+backend\.default\.svc\.cluster\.local$' "^Address: $cluster_ip$"
exits 1 "${in_frontend[@]}" nslookup missing.default.svc.cluster.local
sees "server can't find missing\.default\.svc\.cluster\.local: NXDOMAIN"

ok "${in_frontend[@]}" nc -zv "$cluster_ip" 8080
sees "^Connection to $cluster_ip 8080 port \[tcp/http-alt\] succeeded!$"
exits 1 "${in_frontend[@]}" nc -zv "$backend_ip" 8079
sees "^nc: connect to $backend_ip port 8079 \(tcp\) failed: Connection refused$"
apply drop.yaml
# In force once the port that refused is silent.
timeout 30 bash -c 'until "$@" 2>&1 | grep -q "timed out"; do :; done' bash "${in_frontend[@]}" nc -zv -w 1 "$backend_ip" 8079 ||
	fail "the cluster does not enforce the NetworkPolicy"
exits 1 "${in_frontend[@]}" nc -zv -w 2 "$backend_ip" 8079
sees "^nc: connect to $backend_ip port 8079 \(tcp\) timed out: Operation now in progress$"

ok "${in_frontend[@]}" curl -v "http://$backend_ip:8080/health"
sees '^\* +Trying ' "^\* Connected to $backend_ip " '^> GET /health HTTP/1.1' '^< HTTP/1.[01] 200 OK' '^healthy$'
ok "${in_frontend[@]}" curl -v http://backend.default.svc.cluster.local:8080/health
sees "^\* Connected to backend\.default\.svc\.cluster\.local \($cluster_ip\) port 8080" '^> Host: backend\.default\.svc\.cluster\.local:8080' \
	'^< HTTP/1.[01] 200 OK' '^healthy$'
exits 6 "${in_frontend[@]}" curl http://missing.default.svc.cluster.local/
sees '^curl: \(6\) Could not resolve host: missing\.default\.svc\.cluster\.local'

dumped=$work/tcpdump.log
say "\$ kubectl exec frontend -c linkerd-debug -- tcpdump -i any port 8080 -w /tmp/backend.pcap &"
timeout 120 "${in_frontend[@]}" tcpdump -i any port 8080 -w /tmp/backend.pcap >"$dumped" 2>&1 &
background+=($!)
await "$dumped" 'listening on any'
ok "${in_frontend[@]}" curl -s "http://$backend_ip:8080/health"
sees '^healthy$'
ok "${in_frontend[@]}" killall tcpdump # SIGTERM
wait "${background[-1]}" || fail "tcpdump ended with $?: $(cat "$dumped")"
unset 'background[-1]'
out=$(cat "$dumped")
say "$out"
sees '^[1-9][0-9]* packets? captured$' '^[0-9]+ packets? received by filter$' '^[0-9]+ packets? dropped by kernel$'

ok "${in_frontend[@]}" netstat -tulnp
sees '^Active Internet connections \(only servers\)$' '^tcp +0 +0 127\.0\.0\.1:4199 +0\.0\.0\.0:\* +LISTEN' \
	'^tcp6? .*:8000 .*LISTEN'
