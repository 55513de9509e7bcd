{{/* Labels of every object of the release. */}}
{{- define "belay.labels" -}}
app.kubernetes.io/part-of: belay
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Selector of one component: (dict "root" . "component" "operator"). */}}
{{- define "belay.selector" -}}
app.kubernetes.io/name: belay-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- end }}

{{- define "belay.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "belay.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "belay.logbookURL" -}}
http://belay-logbook.{{ .Release.Namespace }}.svc:8600
{{- end }}

{{/* Rules the operator needs in every namespace it watches: children are made and changed, and deleted by the garbage
collector; our own specs are never written. tests/unit/dev/test_chart.py holds them against what the operator does. */}}
{{- define "belay.operatorRules" -}}
- apiGroups: [belay.dev]
  resources: [rltrainingjobs, rlpolicies, rlrollouts, rlprogressions]
  verbs: [get, list, watch]
- apiGroups: [belay.dev]
  resources: [rltrainingjobs/status, rlpolicies/status, rlrollouts/status]
  verbs: [update]
- apiGroups: [belay.dev]  # asked, as on OpenShift, of whoever makes children that hold up their owner's deletion
  resources: [rltrainingjobs/finalizers, rlpolicies/finalizers, rlrollouts/finalizers]
  verbs: [update]
- apiGroups: [belay.dev]  # publish: a training job's best seed becomes a new RLPolicy
  resources: [rlpolicies]
  verbs: [create, patch]
- apiGroups: [batch]  # deleted where its end is recorded: a training's, a policy's judgement, a rollout step's
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]  # deleted where a deleted policy left it to rollouts, and none needs it any more
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]  # goes before its owner does where there is nothing left to serve
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]  # as Deployments
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [discovery.k8s.io]  # traffic.replicas: the candidate's pods behind a rollout's Service
  resources: [endpointslices]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]  # keys of trainings, judged policies and rollouts that judge are made and never read; RBAC cannot restrict create
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [belay-receipt-key]
  verbs: [get, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
{{- end }}
