{{/* What the controller may do to the objects of users: everywhere or in some namespaces, each for itself. */}}

{{- define "tidegate.rules.objects" }}
  - apiGroups: [tunnel.achetronic.com]
    resources: [edgenodes, portbindings, remoteservices]
    verbs: [get, list, watch]
  # The finalizer, and annotations that are done with.
  - apiGroups: [tunnel.achetronic.com]
    resources: [edgenodes]
    verbs: [patch]
  - apiGroups: [tunnel.achetronic.com]
    resources: [edgenodes/status, portbindings/status, remoteservices/status]
    verbs: [get, patch]
  - apiGroups: [events.k8s.io]
    resources: [events]
    verbs: [create, patch]
{{- end }}

{{- define "tidegate.rules.targets" }}
  - apiGroups: [""]
    resources: [services]
    verbs: [get, list, watch]
  # For target.service.resolve: Endpoints.
  - apiGroups: [discovery.k8s.io]
    resources: [endpointslices]
    verbs: [get, list, watch]
  {{- if .Values.flags.requireServiceGrants }}
  {{- include "tidegate.rules.grants" . }}
  {{- end }}
{{- end }}

{{- define "tidegate.rules.grants" }}
  # Whose objects of other namespaces may use them.
  - apiGroups: [gateway.networking.k8s.io]
    resources: [referencegrants]
    verbs: [get, list]
{{- end }}

{{- define "tidegate.rules.secrets" }}
  - apiGroups: [""]
    resources: [secrets]
    verbs: [get, list, watch]
  {{- include "tidegate.rules.grants" . }}
{{- end }}
