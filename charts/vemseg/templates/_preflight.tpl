{{- /* What would fail later, or hang, is refused here, with the reason and what to write instead. */}}
{{- define "vemseg.preflight" }}
{{- include "vemseg.preflight.argo" . }}
{{- include "vemseg.preflight.storage" . }}
{{- include "vemseg.preflight.claim" . }}
{{- include "vemseg.preflight.image" . }}
{{- include "vemseg.preflight.monitoring" . }}
{{- if .Values.web.enabled }}
{{- include "vemseg.preflight.web" . }}
{{- end }}
{{- end }}

{{- define "vemseg.preflight.argo" }}
{{- if and (include "vemseg.online" .) (not (.Capabilities.APIVersions.Has "argoproj.io/v1alpha1/WorkflowTemplate")) }}
{{- fail (printf `

Argo Workflows is not on this cluster: it does not know the kind WorkflowTemplate (argoproj.io/v1alpha1).
Custom resources are the administrator's to install. Ask for
  1. Argo Workflows 4.0 or later: its CRDs, and a workflow-controller that watches the namespace %q;
  2. your right to make workflows there, and to grant the right on workflowtaskresults: k8s/admin/rights.yaml in the
     repository of vemseg is that rule, ready to apply.
Without Argo the same study runs on one machine: vemseg run workflows/study.yaml` .Release.Namespace) }}
{{- end }}
{{- end }}

{{- define "vemseg.preflight.storage" }}
{{- $node := .Values.storage.node }}
{{- if and (eq .Values.storage.mode "rwo") (not $node) }}
{{- fail `

storage.mode is rwo, and the pods of a study are spread over nodes: a ReadWriteOnce volume attaches to one node, on any
other the pods would wait for ever in ContainerCreating. Write one of
  --set storage.mode=rwo --set storage.node=NODE    all pods on that node (its label kubernetes.io/hostname)
  --set storage.mode=rwx --set storage.claim.storageClassName=CLASS    a class that offers ReadWriteMany, such as CephFS
  --set storage.mode=s3                             no claim; runs are s3:// URLs` }}
{{- end }}
{{- if and $node (ne .Values.storage.mode "rwo") }}
{{- fail (printf `

storage.node is %q and storage.mode is %s: only rwo ties all pods to one node. Leave storage.node empty, or set
storage.mode=rwo.` $node .Values.storage.mode) }}
{{- end }}
{{- end }}

{{- /* A claim that is there already cannot change its access modes; its own say whether pods may be spread. */}}
{{- define "vemseg.preflight.claim" }}
{{- $name := .Values.parameters.claim }}
{{- $claim := lookup "v1" "PersistentVolumeClaim" .Release.Namespace $name }}
{{- if and $claim (eq .Values.storage.mode "rwx") (not (has "ReadWriteMany" $claim.spec.accessModes)) }}
{{- fail (printf `

The claim %s is there with %s, and storage.mode is rwx: the pods of a study are spread over nodes, where it does not
attach. Write one of
  --set storage.mode=rwo --set storage.node=NODE    all pods on that node (its label kubernetes.io/hostname)
  --set parameters.claim=OTHER                      a claim of another name, ReadWriteMany` $name (join ", " $claim.spec.accessModes)) }}
{{- end }}
{{- if and $claim .Values.storage.claim.create (eq .Values.storage.mode "rwo") (not (has "ReadWriteOnce" $claim.spec.accessModes)) }}
{{- fail (printf `

The claim %s is there with %s, which cannot be changed to what storage.mode=rwo would make. Write one of
  --set storage.mode=rwx                            pods on all nodes
  --set storage.claim.create=false                  this claim as it is, all pods on the node storage.node
  --set parameters.claim=OTHER                      a claim of another name` $name (join ", " $claim.spec.accessModes)) }}
{{- end }}
{{- if and (include "vemseg.online" .) (not $claim) (ne .Values.storage.mode "s3") (not .Values.storage.claim.create) }}
{{- fail (printf `

storage.claim.create is false and there is no claim %s in the namespace %s. Make it, name another with
--set parameters.claim=NAME, or leave storage.claim.create at true.` $name .Release.Namespace) }}
{{- end }}
{{- end }}

{{- define "vemseg.preflight.image" }}
{{- $images := dict "parameters.image" .Values.parameters.image }}
{{- if .Values.web.enabled }}
{{- $_ := set $images "web.image" .Values.web.image }}
{{- end }}
{{- range $value, $image := $images }}
{{- $tag := $image | splitList "/" | last }}
{{- if or (hasSuffix ":latest" $tag) (not (regexMatch "[:@]" $tag)) }}
{{- fail (printf `

%s is %q: name a version (image:0.1.0) or a digest. Steps that are tried again days later must run the
same code, and "latest" would be pulled for each pod.` $value $image) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "vemseg.preflight.monitoring" }}
{{- range $value, $kind := dict "podMonitor" "PodMonitor" "serviceMonitor" "ServiceMonitor" "alerts" "PrometheusRule" }}
{{- $wanted := (index $.Values.monitoring $value).enabled }}
{{- $known := $.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" $kind) }}
{{- if and $wanted (include "vemseg.online" $) (not $known) }}
{{- fail (printf `

monitoring.%s.enabled is true, but the cluster does not know the kind %s. Ask the administrator for the Prometheus
operator, or set monitoring.%s.enabled=false.` $value $kind $value) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "vemseg.preflight.web" }}
{{- if eq .Values.storage.mode "s3" }}
{{- fail `

web.enabled is true and storage.mode is s3: the application keeps uploads and jobs on the claim that it shares with the
workflows' pods. Set storage.mode=rwx (or rwo), or web.enabled=false. Runs and volumes can be s3:// URLs in any mode.` }}
{{- end }}
{{- if not .Values.web.models }}
{{- fail `

web.enabled is true and web.models is empty: name the trained models that the application offers, such as
--set web.models={/data/runs/first}. A run need not be there yet.` }}
{{- end }}
{{- if and .Values.web.userHeader (not (and .Values.networkPolicy.enabled .Values.networkPolicy.proxyNamespace)) }}
{{- fail (printf `

web.userHeader is %s: whoever reaches the application past the proxy can name anybody in that header. Let the proxy
alone reach it: networkPolicy.enabled=true and networkPolicy.proxyNamespace=NAMESPACE of the proxy.` .Values.web.userHeader) }}
{{- end }}
{{- if and .Values.web.ingress.enabled (not .Values.web.ingress.host) }}
{{- fail "\n\nweb.ingress.enabled is true and there is no web.ingress.host: name the host, such as vemseg.example.org." }}
{{- end }}
{{- if .Values.web.route.enabled }}
{{- if not (and .Values.web.route.gateway .Values.web.route.host) }}
{{- fail "\n\nweb.route.enabled is true: name web.route.gateway, the Gateway that takes the requests, and web.route.host." }}
{{- end }}
{{- if and (include "vemseg.online" .) (not (.Capabilities.APIVersions.Has "gateway.networking.k8s.io/v1/HTTPRoute")) }}
{{- fail `

web.route.enabled is true, but the cluster does not know the kind HTTPRoute. Ask the administrator for the Gateway API,
or set web.route.enabled=false and web.ingress.enabled=true.` }}
{{- end }}
{{- end }}
{{- end }}
