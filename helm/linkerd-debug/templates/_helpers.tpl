{{/* Whether anything is to be installed: either of the two names of the switch. */}}
{{- define "linkerd-debug.enabled" -}}
{{- if or .Values.debugContainer.enabled .Values.controllerComponents.debugContainer.enabled }}true{{ end }}
{{- end }}

{{/* The name of everything here; 40 characters, so that "-injector" and a pod's suffix fit. */}}
{{- define "linkerd-debug.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "linkerd-debug.injector" -}}
{{ include "linkerd-debug.fullname" . }}-injector
{{- end }}

{{- define "linkerd-debug.image" -}}
{{- with .Values.debugContainer.image }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "linkerd-debug.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: injector
{{- end }}

{{- define "linkerd-debug.labels" -}}
{{ include "linkerd-debug.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The file that `ldbg injector --config` reads. */}}
{{- define "linkerd-debug.config" -}}
{{- $debug := .Values.debugContainer }}
{{- $container := dict
      "name" "linkerd-debug"
      "image" (include "linkerd-debug.image" .)
      "imagePullPolicy" $debug.image.pullPolicy
      "resources" ($debug.resources | default dict)
      "terminationMessagePolicy" "FallbackToLogsOnError" }}
{{- $securityContexts := dict
      "privileged" $debug.securityContext
      "baseline" $debug.podSecurity.baseline.securityContext
      "restricted" $debug.podSecurity.restricted.securityContext }}
{{- dict
      "container" $container
      "securityContexts" $securityContexts
      "unlabelledLevel" $debug.podSecurity.unlabelled
      "nativeSidecars" (semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version)
    | toPrettyJson }}
{{- end }}

{{/* The namespaces that no webhook of this chart ever looks at, as matchExpressions. */}}
{{- define "linkerd-debug.exclusions" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values: [kube-system, {{ .Release.Namespace }}]
# Linkerd's own label for namespaces, such as its control plane's, where webhooks keep out.
- key: config.linkerd.io/admission-webhooks
  operator: NotIn
  values: [disabled]
{{- end }}

{{/* What the two webhooks have in common. Whatever happens to the injector, pods start. */}}
{{- define "linkerd-debug.webhook" -}}
admissionReviewVersions: [v1]
failurePolicy: Ignore
matchPolicy: Equivalent
# Again where a later webhook adds the proxy; a pod that has the container is left alone.
reinvocationPolicy: IfNeeded
sideEffects: None
timeoutSeconds: 3
rules:
  - operations: [CREATE]
    apiGroups: [""]
    apiVersions: [v1]
    resources: [pods]
    scope: Namespaced
{{- end }}
