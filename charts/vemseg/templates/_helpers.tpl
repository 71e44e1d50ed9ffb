{{- /* Labels of every object. Give a dict of the root context and the component: the folder that the template is in. */}}
{{- define "vemseg.labels" -}}
app.kubernetes.io/name: vemseg
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- /* A value as a ConfigMap wants it. JSON is what Argo reads lists and maps as, and keeps 1000000 from being 1e+06. */}}
{{- define "vemseg.string" -}}
{{- if kindIs "string" . }}{{ . | quote }}{{ else }}{{ toJson . | quote }}{{ end }}
{{- end }}

{{- /* Whether the cluster is asked: offline, Helm knows API groups but not their kinds. */}}
{{- define "vemseg.online" -}}
{{- if .Capabilities.APIVersions.Has "v1/Pod" }}true{{ end }}
{{- end }}

{{- /* Labels of the nodes for all pods, as JSON: what is asked for, and the one node that a block volume attaches to. */}}
{{- define "vemseg.nodeSelector" -}}
{{- $selector := deepCopy (index .Values.parameters "node-selector") }}
{{- with .Values.storage.node }}
{{- $_ := set $selector "kubernetes.io/hostname" . }}
{{- end }}
{{- toJson $selector }}
{{- end }}

{{- /* Where pods of the chart's own run that need no GPU: where the workflows' light steps do. */}}
{{- define "vemseg.placement" -}}
nodeSelector: {{ include "vemseg.nodeSelector" . }}
tolerations: {{ toJson .Values.parameters.tolerations }}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
      - matchExpressions:
        - {key: {{ index .Values.parameters "gpu-node-label" }}, operator: NotIn, values: ["true"]}
{{- end }}

{{- /* What pods may connect to: name servers, and what is listed. */}}
{{- define "vemseg.egress" -}}
- ports:
  - {protocol: UDP, port: 53}
  - {protocol: TCP, port: 53}
{{- range .Values.networkPolicy.egress }}
- to:
  - ipBlock: {cidr: {{ .cidr | quote }}}
  ports:
  {{- range .ports }}
  - {protocol: TCP, port: {{ . }}}
  {{- end }}
{{- end }}
{{- end }}

{{- /* The application's VEMSEG_APP_* variables. */}}
{{- /* Names by which browsers, and the pods of this namespace, reach the application. */}}
{{- define "vemseg.web.hosts" -}}
{{- $hosts := concat (list "vemseg-web") .Values.web.allowedHosts }}
{{- if .Values.web.ingress.enabled }}{{ $hosts = append $hosts .Values.web.ingress.host }}{{ end }}
{{- if .Values.web.route.enabled }}{{ $hosts = append $hosts .Values.web.route.host }}{{ end }}
{{- join "," $hosts }}
{{- end }}

{{- define "vemseg.web.settings" -}}
DATA: /data/{{ .Values.web.folder }}
EXECUTOR: cluster
MODELS: {{ join "," .Values.web.models | quote }}
{{- with .Values.web.folders }}
FOLDERS: {{ join "," . | quote }}
{{- end }}
JOBS_AT_ONCE: {{ .Values.web.jobsAtOnce | toJson | quote }}
RETENTION_DAYS: {{ .Values.web.retentionDays | toJson | quote }}
UPLOAD_BYTES: {{ .Values.web.uploadBytes | toJson | quote }}
OWNER_QUOTA_BYTES: {{ .Values.web.ownerQuotaBytes | toJson | quote }}
QUOTA_BYTES: {{ .Values.web.quotaBytes | toJson | quote }}
ALLOWED_HOSTS: {{ include "vemseg.web.hosts" . | quote }}
METRICS_PORT: "9108"
{{- with .Values.web.trustedProxies }}
TRUSTED_PROXIES: {{ join "," . | quote }}
{{- end }}
{{- with .Values.web.userHeader }}
USER_HEADER: {{ . }}
{{- end }}
{{- with .Values.web.basePath }}
BASE_PATH: {{ . }}
{{- end }}
{{- end }}
