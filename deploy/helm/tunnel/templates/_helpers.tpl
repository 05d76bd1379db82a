{{/* Values are read so that an upgrade with --reuse-values from a release without ours finds the defaults: (.Values.a).b, or dig. */}}

{{- define "tidegate.name" -}}
{{- .Values.fullnameOverride | default .Values.nameOverride | default "tidegate" | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "tidegate.controller" -}}
{{ include "tidegate.name" . }}-controller
{{- end -}}

{{- define "tidegate.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "tidegate.controller" .) "default") -}}
{{- end -}}

{{- define "tidegate.labels" -}}
{{- merge (dict "app.kubernetes.io/part-of" "tidegate") (.Values.commonLabels | default dict) | toYaml -}}
{{- end -}}

{{- define "tidegate.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "tidegate.serviceAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* A list of names, as JSON, from a list or from names separated by commas. */}}
{{- define "tidegate.names" -}}
{{- $given := . -}}
{{- if kindIs "string" . }}{{ $given = splitList "," . }}{{ end -}}
{{- $names := list -}}
{{- range $given | default list }}{{ with trim . }}{{ $names = append $names . }}{{ end }}{{ end -}}
{{- uniq $names | toJson -}}
{{- end -}}

{{/* Which namespaces, as JSON; [] is all. */}}
{{- define "tidegate.watchNamespaces" -}}
{{- include "tidegate.names" .Values.flags.watchNamespaces -}}
{{- end -}}
{{- define "tidegate.secretNamespaces" -}}
{{- $own := include "tidegate.names" .Values.flags.secretNamespaces -}}
{{- eq $own "[]" | ternary (include "tidegate.watchNamespaces" .) $own -}}
{{- end -}}
{{- define "tidegate.exposeNamespaces" -}}
{{- $own := include "tidegate.names" .Values.flags.exposePodsNamespaces -}}
{{- $all := eq .Values.flags.exposePods "none" | ternary list .Values.remoteServices.namespaces | toJson -}}
{{- eq $own "[]" | ternary $all $own -}}
{{- end -}}
{{- define "tidegate.targetNamespaces" -}}
{{- $own := include "tidegate.names" .Values.rbac.targetNamespaces -}}
{{- eq $own "[]" | ternary (include "tidegate.watchNamespaces" .) $own -}}
{{- end -}}

{{- define "tidegate.uplinkNamespaces" -}}
{{- dig "uplinks" "namespaces" (list "tunnel") .Values.AsMap | toJson -}}
{{- end -}}

{{- define "tidegate.tag" -}}
{{- .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{/* Empty when metrics are off, as is healthPort for the probes. */}}
{{- define "tidegate.metricsPort" -}}
{{- include "tidegate.port" .Values.flags.metricsBindAddress -}}
{{- end -}}
{{- define "tidegate.healthPort" -}}
{{- include "tidegate.port" .Values.flags.healthProbeBindAddress -}}
{{- end -}}
{{- define "tidegate.port" -}}
{{- $port := toString . | regexFind "[0-9]+$" -}}
{{- ne $port "0" | ternary $port "" -}}
{{- end -}}

{{- define "tidegate.certificates" -}}
/etc/tidegate/metrics-certs
{{- end -}}

{{/* The Secret with the metrics' certificate; empty where the controller makes one itself. */}}
{{- define "tidegate.metricsSecret" -}}
{{- $made := dig "metrics" "tls" "certManager" "enabled" false .Values.AsMap | ternary (printf "%s-metrics-tls" (include "tidegate.name" .)) "" -}}
{{- .Values.metrics.tls.secretName | default $made -}}
{{- end -}}

{{/* The controller's arguments. What is as the program has it anyway is left out, but for what one looks for in them. */}}
{{- define "tidegate.arguments" -}}
{{- $flags := .Values.flags -}}
{{- if and (not $flags.leaderElect) (gt (int .Values.replicaCount) 1) -}}
{{- fail "flags.leaderElect=false needs replicaCount=1: without an election every replica would take the lead." -}}
{{- end -}}
{{- $certificates := include "tidegate.metricsSecret" . | empty | ternary $flags.metricsCertPath (include "tidegate.certificates" .) -}}
{{- $arguments := list "controller" -}}
{{- range list
  (list "image-repo" $flags.imageRepo)
  (list "image-tag" ($flags.imageTag | default (include "tidegate.tag" .)))
  (list "leader-elect" $flags.leaderElect "always")
  (list "leader-elect-namespace" ($flags.leaderElectNamespace | default "$(POD_NAMESPACE)"))
  (list "health-probe-bind-address" $flags.healthProbeBindAddress)
  (list "metrics-bind-address" $flags.metricsBindAddress)
  (list "metrics-secure" $flags.metricsSecure true)
  (list "enable-http2" $flags.enableHTTP2 false)
  (list "metrics-cert-path" $certificates)
  (list "metrics-cert-name" $flags.metricsCertName)
  (list "metrics-cert-key" $flags.metricsCertKey)
  (list "webhook-cert-path" $flags.webhookCertPath)
  (list "webhook-cert-name" $flags.webhookCertName)
  (list "webhook-cert-key" $flags.webhookCertKey)
  (list "envoy-version" $flags.envoyVersion)
  (list "envoy-source" $flags.envoySource)
  (list "envoy-sha256" $flags.envoySha256)
  (list "agent-dir" ($flags.agentDir | default $flags.tunnelctlDir))
  (list "wildcard-domain" $flags.wildcardDomain)
  (list "client-command" $flags.clientCommand)
  (list "expose-pods" $flags.exposePods "none")
  (list "expose-pods-namespaces" (include "tidegate.exposeNamespaces" . | fromJsonArray | join ","))
  (list "remote-template" $flags.remoteTemplate)
  (list "kubeconfig" $flags.kubeconfig)
  (list "context" $flags.context)
  (list "deny-target-cidrs" (include "tidegate.names" $flags.denyTargetCidrs | fromJsonArray | join ","))
  (list "allow-target-cidrs" (include "tidegate.names" $flags.allowTargetCidrs | fromJsonArray | join ","))
  (list "max-concurrent-reconciles" $flags.maxConcurrentReconciles 5)
  (list "uplink-mknod" $flags.uplinkMknod true)
  (list "allow-passwords-without-host-key" $flags.allowPasswordsWithoutHostKey false)
  (list "require-service-grants" $flags.requireServiceGrants false)
  (list "max-edge-nodes-per-namespace" $flags.maxEdgeNodesPerNamespace 100)
  (list "uplink-namespaces" $flags.uplinkNamespaces "*")
  (list "max-uplink-replicas" $flags.maxUplinkReplicas 16)
  (list "max-uplink-cpu" $flags.maxUplinkCpu "4")
  (list "max-uplink-memory" $flags.maxUplinkMemory "4Gi")
  (list "max-uplink-storage" $flags.maxUplinkStorage "10Gi")
  (list "uplink-labels" $flags.uplinkLabels "*,app.kubernetes.io/*")
  (list "uplink-annotations" $flags.uplinkAnnotations "*,prometheus.io/*")
  (list "uplink-tolerations" $flags.uplinkTolerations "*,node.kubernetes.io/not-ready,node.kubernetes.io/unreachable")
  (list "uplink-resources" $flags.uplinkResources "cpu,memory,ephemeral-storage")
  (list "allow-foreign-affinity" $flags.allowForeignAffinity false)
  (list "watch-namespaces" (include "tidegate.watchNamespaces" . | fromJsonArray | join ","))
  (list "secret-namespaces" (include "tidegate.secretNamespaces" . | fromJsonArray | join ","))
-}}
{{- $value := toString (index . 1) -}}
{{- $default := gt (len .) 2 | ternary (toString (last .)) "" -}}
{{- if and (not (kindIs "invalid" (index . 1))) (ne $value $default) -}}
{{- $arguments = append $arguments (printf "--%s=%s" (first .) $value) -}}
{{- end -}}
{{- end -}}
{{- concat $arguments .Values.extraArgs | toYaml -}}
{{- end -}}
