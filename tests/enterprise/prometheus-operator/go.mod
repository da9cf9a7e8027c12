// The definitions of the kinds by which a Prometheus of a cluster finds numbers and rules.
module intranet.mcp/prometheus-operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
