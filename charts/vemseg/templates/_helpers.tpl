{{- /* Labels of every object. Give a dict of the root context and the component: the folder that the template is in. */}}
{{- define "vemseg.labels" -}}
app.kubernetes.io/name: vemseg
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- /* A scalar as a ConfigMap wants it. Numbers come as floats: printing them as JSON keeps 1000000 from being 1e+06. */}}
{{- define "vemseg.string" -}}
{{- if kindIs "string" . }}{{ . | quote }}{{ else }}{{ toJson . | quote }}{{ end }}
{{- end }}

{{- /* Whether the cluster is asked: offline, Helm knows API groups but not their kinds. */}}
{{- define "vemseg.online" -}}
{{- if .Capabilities.APIVersions.Has "v1/Pod" }}true{{ end }}
{{- end }}
