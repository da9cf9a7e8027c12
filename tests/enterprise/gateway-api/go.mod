// The definitions of the Gateway API's kinds. The version is the one that Traefik was built with.
module intranet.mcp/gateway-api

go 1.26.0

require sigs.k8s.io/gateway-api v1.6.3
