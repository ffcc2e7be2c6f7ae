# shellcheck shell=bash disable=SC2154 # session.sh and the steps before set them
# 2. Meshed pods get the container, others do not
ok kubectl delete pod frontend --wait
apply app.yaml
ok kubectl wait --for condition=Ready --timeout 60s pod/frontend
ok kubectl describe pod frontend
sees '^  linkerd-debug:$' "Image: +$image" 'linkerd\.io/inject: enabled'
injected default/frontend
untouched default/backend

apply who.yaml
ok kubectl wait --for condition=Ready --timeout 90s -A -l "$own=who" pod
say "meshed:"
injected ldbg-e2e-meshed/by-namespace ldbg-e2e-plain/by-annotation ldbg-e2e-plain/by-container ldbg-e2e-plain/by-native-sidecar
say "not meshed:"
untouched ldbg-e2e-plain/plain ldbg-e2e-meshed/inject-disabled
say "opted out:"
untouched ldbg-e2e-meshed/opted-out
say "under Pod Security, baseline and restricted:"
injected ldbg-e2e-baseline/meshed ldbg-e2e-restricted/meshed
ok kubectl exec -n ldbg-e2e-restricted meshed -c linkerd-debug -- ldbg nc -zv 127.0.0.1 4199
sees 'succeeded!'
exits 1 kubectl exec -n ldbg-e2e-restricted meshed -c linkerd-debug -- tcpdump -c 1 -w /tmp/none.pcap
sees 'NET_RAW'

say "the webhook's own namespace and kube-system:"
apply excluded.yaml
ok kubectl wait --for condition=Ready --timeout 60s -n kube-system pod/ldbg-e2e-excluded
ok kubectl wait --for condition=Ready --timeout 60s -n linkerd-debug pod/ldbg-e2e-excluded
untouched kube-system/ldbg-e2e-excluded linkerd-debug/ldbg-e2e-excluded
ok kubectl delete -f tests/e2e/manifests/excluded.yaml --wait

say "namespaces that the chart's selector leaves out, and a pod that opts in:"
ok helm upgrade linkerd-debug helm/linkerd-debug -n linkerd-debug "${values[@]}" --set debugContainer.enabled=true \
	--set debugContainer.namespaceSelector.matchLabels.debug=wanted --wait --timeout 2m
apply selected.yaml
ok kubectl wait --for condition=Ready --timeout 60s -A -l "$own=selected" pod
injected ldbg-e2e-plain/opted-in
untouched ldbg-e2e-plain/not-selected

say "a Job ends with the container beside it:"
apply job.yaml
ok kubectl wait --for condition=Complete --timeout 60s -n ldbg-e2e-meshed job/errand
injected "ldbg-e2e-meshed/$(kubectl get pods -n ldbg-e2e-meshed -l job-name=errand -o 'jsonpath={.items[0].metadata.name}')"

say "no injector, no harm:"
ok kubectl scale -n linkerd-debug deployment/linkerd-debug-injector --replicas 0
ok kubectl wait --for delete --timeout 60s -n linkerd-debug pod -l app.kubernetes.io/component=injector
apply injector-down.yaml
ok kubectl wait --for condition=Ready --timeout 60s -n ldbg-e2e-meshed pod/injector-down
untouched ldbg-e2e-meshed/injector-down
