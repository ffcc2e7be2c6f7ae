# shellcheck shell=bash disable=SC2154 # session.sh and the steps before set them
# 1. The chart leaves pods alone until it is told otherwise
chart=(-n linkerd-debug)
values=()
if [ -n "${LDBG_IMAGE:-}" ]; then
	values=(--set "debugContainer.image.repository=${image%:*}" --set "debugContainer.image.tag=${image##*:}")
fi
# ca: what the API server trusts of the injector.
ca() { kubectl get mutatingwebhookconfigurations post-linkerd-debug-injector -o 'jsonpath={.webhooks[*].clientConfig.caBundle}'; }
fingerprint() { sha256sum <<<"$1" | cut -c1-16; }

# The injector itself must pass the strictest Pod Security level.
kubectl create namespace linkerd-debug >/dev/null
ok kubectl label namespace linkerd-debug "$own=true" pod-security.kubernetes.io/enforce=restricted
ok helm install linkerd-debug helm/linkerd-debug "${chart[@]}" --create-namespace "${values[@]}"
sees 'STATUS: deployed' 'the debug container is off'
ok kubectl get mutatingwebhookconfigurations,pods "${chart[@]}"
sees_no linkerd-debug
apply app.yaml
ok kubectl wait --for condition=Ready --timeout 60s pod/frontend pod/backend
say "the chart is off:"
untouched default/frontend default/backend

ok helm upgrade linkerd-debug helm/linkerd-debug "${chart[@]}" "${values[@]}" --set debugContainer.enabled=true --wait --timeout 2m
sees 'get a container named linkerd-debug'
ok kubectl get pods "${chart[@]}"
sees '^linkerd-debug-injector-\S+ +1/1 +Running'
first_ca=$(ca)
[ -n "$first_ca" ] || fail "no caBundle"
untouched default/frontend

say "the synonym of older articles, in a second upgrade:"
ok helm upgrade linkerd-debug helm/linkerd-debug "${chart[@]}" "${values[@]}" --set controllerComponents.debugContainer.enabled=true --wait --timeout 2m
same "the webhook's certificate over an upgrade" "$first_ca" "$(ca)"
say "  caBundle before and after: $(fingerprint "$first_ca") $(fingerprint "$(ca)")"
